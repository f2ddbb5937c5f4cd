"""Pictures of the shape of generated people become a parser of scans that have neither labels nor colours.

A file that says so where none is wanted (`train_shape_parser: people` is 0): most scans need none.
"""

from sofgan.files import sha256_file, write_bytes, write_json
from sofgan.parallel import Mapper
from sofgan.parsing.data import Splits
from sofgan.parsing.parser import save_parser
from sofgan.parsing.train import train_parser
from sofgan.runtime import use_cpu, use_gpu
from sofgan.scans.unlabelled.config import NO_PARSER
from sofgan.scans.unlabelled.shape_data import picture_people
from stages import paths
from stages.execution.dask_shards import spread
from stages.execution.entry import enter
from stages.execution.sessions import forget, session
from stages.params import read_params, runtime, seed
from stages.tracking.run import stage_run

MODEL = paths.SHAPE_PARSER


def main() -> None:
    params, how = read_params("train_shape_parser"), runtime()
    with stage_run("train_shape_parser", params) as run:
        if not params.people:
            write_bytes(MODEL, NO_PARSER)
            write_json(paths.SHAPE_PARSER_DIGEST, {"sha256": sha256_file(MODEL)})
            run.final({"people": 0})
            return
        workers = _elsewhere(spread("train_shape_parser"))
        pictures = Splits(*picture_people(params, seed(), workers, progress=run))
        use_cpu(how.threads)
        use_gpu(how.device, exact=False)
        states = session("train_shape_parser", params, run)
        trained = train_parser(pictures, params.training(), seed(), how.device, states, how.workers)
        save_parser(MODEL, trained.parser)
        write_json(paths.SHAPE_PARSER_DIGEST, {"sha256": sha256_file(MODEL)})
        run.final(
            {
                "held_out_miou": trained.confusion.miou(),
                "held_out_views": len(pictures.held_out),
                "people": params.people,
                "best_step": trained.step,
            }
        )
        forget("train_shape_parser")


def _elsewhere(workers: int | Mapper) -> int | Mapper:
    """Workers that are processes of their own: Mesa's LLVM and that of triton, which torch loads as it trains, crash
    in one process."""
    return max(workers, 2) if isinstance(workers, int) else workers


if __name__ == "__main__":
    enter(main)
