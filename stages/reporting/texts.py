"""Texts of the report on metrics and pictures, by name."""

import re

# First pattern that matches the whole key, in order.
DEFINITIONS = (
    (
        r"(fid|fd_)\w*_(low|high)",
        "Bounds of that figure's interval of 95 percent over pictures. It is of the mean at this number of pictures, "
        "which few of them raise: compare it with the floor's.",
    ),
    (
        r"(fid|fd_\w+?|kid|kd_\w+?)_held_out_floor",
        "The floor of that: one half of the held-out photos against the other.",
    ),
    (
        r"(fid|fd_\w+?|kid|kd_\w+?)_floor",
        "The floor at the same N: as many real photos that nothing was trained on, in place of the painted pictures.",
    ),
    (
        r"(fid|fd_\w+?|kid|kd_\w+?)_held_out",
        "Painted from maps of one half of the held-out photos, against the other half of them.",
    ),
    (
        r"(fid|fd_\w+?)_repeated",
        "The first distance where maps are painted several times, in other styles, to as many as training photos: the "
        "field's custom, without a floor, as there are not so many held-out photos.",
    ),
    (
        r"fd_maps_unpainted_floor",
        "The same of held-out photos' label maps in place of the heads'.",
    ),
    (
        r"fd_maps_unpainted",
        "Frechet distance of label maps of sampled heads from those of photos that were trained on: shares of "
        "each of 16 cells that each class takes, and lengths of its borders. Nothing is painted, so it is "
        "geometry's gap alone.",
    ),
    (r"kd_maps_unpainted(_floor)?", "Kernel distance (polynomial, unbiased) of the same."),
    (
        r"maps_(shares|places|borders)_unpainted",
        "Label maps of sampled heads against those of photos: half of the sum of differences of the classes' "
        "mean shares; mean distance of classes' mean places, picture widths; length of all borders by the photos'.",
    ),
    (
        r"maps_(shares|places|borders)_unpainted_floor",
        "The same of held-out photos' label maps in place of the heads'.",
    ),
    (
        r"(best_)?running_fd_lite0(_\w+_maps)?_floor",
        "The floor of distances on the way: as many held-out photos in place of painted pictures.",
    ),
    (
        r"(best_)?running_fd_lite0(_\w+_maps)?",
        "Frechet distance of EfficientNet-lite0 features while the painter learns: of few pictures "
        "(`train_siw.scores`), painted from held-out maps of the photos that are learned from or of another set, "
        "against photos that are learned from. It tells states of a training apart; results are `fd_lite0`.",
    ),
    (
        r"best_kimg",
        "Thousands of photos after which that distance was smallest: of models/siw_scored/best.pt.",
    ),
    (r"heads", "How many heads of inverted maps were fitted so well that they joined the field."),
    (
        r"view_difference",
        "Mean absolute difference of colours of two views of a head in one style, warped onto each other, in [-1, 1].",
    ),
    (
        r"view_by_spread",
        "The same of each region, by how far its colours lie apart from head to head.",
    ),
    (
        r"(fid|fd_\w+?|kid|kd_\w+?)_celebamask_maps",
        "Painted from held-out maps of the CelebAMask-like set, against FFHQ-like photos that were trained on.",
    ),
    (
        r"(fid|fd_\w+?|kid|kd_\w+?)_ffhq_maps",
        "Painted from held-out maps of the FFHQ-like set, against CelebAMask-like photos that were trained on.",
    ),
    (
        r"(fid|fd_\w+?|kid|kd_\w+?)_(celebamask|ffhq)",
        "The same pictures against photos of their own set, none of them theirs.",
    ),
    (
        r"(fid|fd_\w+?|kid|kd_\w+?)_sof_maps",
        "Painted from views of sampled heads, against photos that were trained on.",
    ),
    (
        r"(fid|fd_\w+?)_sof_yaw_\w+",
        "Painted from views of sampled heads, against photos that were trained on and are turned as far, by "
        "their label maps: by 0 to 10, 10 to 25, or more degrees either side.",
    ),
    (
        r"yaw_error_degrees",
        "Mean error of the yaw that label maps tell, degrees: of sampled heads, half of them by what was fitted to the "
        "other half.",
    ),
    (
        r"warp_error_(10|20)_floor",
        "The same of rendered avatars, whose texture is fixed to them and whose light too; in place of styles they get "
        "the colors of other people and other light.",
    ),
    (
        r"warp_error_(10|20)",
        "Views of a head in one style, 10 or 20 degrees of yaw apart, warped onto each other by the field's depth: "
        "mean absolute difference where both show the same, by that between styles at the same pixels. 0: texture is "
        "fixed to the head.",
    ),
    (
        r"shift_db_(stride|between)",
        "How a picture moves with its label map, dB: the map is shifted by multiples of the pixel where synthesis "
        "starts (`stride`) or by what lies between, the picture shifted back. 20 dB more are a tenth of the "
        "difference.",
    ),
    (
        r"(warp_error|shift_db)_\w+_(low|high)",
        "Bounds of that figure's interval of 95 percent over heads.",
    ),
    (
        r"(feature|color)_distance(_\w+)?",
        "How far apart pictures of one map in two styles are: by the first extractor's features, and by colors, pixel "
        "by pixel; of the whole picture, and of a region alone. Larger is more varied.",
    ),
    (r"border_shift_\w+_maps", "Maps that show enough of that border."),
    (
        r"border_shift_\w+",
        "How many pixels a painted border moves, as the parser sees it, where the map's is moved by 2, 4 or 8.",
    ),
    (
        r"unlike_photos",
        "Share of pictures, painted from held-out maps, that lie further from photos (Mahalanobis distance of "
        "features) than 95 percent of other photos do. 0.05 of photos.",
    ),
    (r"orbit_(heads|avatars)", "How many heads, or avatars for the floor, those figures are of."),
    (
        r"fid",
        "Frechet inception distance (Inception-v3 of 2015-12-05, its own resize): painted from held-out "
        "maps, against photos that were trained on. Lower is better.",
    ),
    (r"kid.*", "Kernel inception distance, unbiased, over random subsets."),
    (
        r"fd_lite0",
        "Frechet distance of EfficientNet-lite0 features, painted from held-out maps, against photos that "
        "were trained on. No FID: another network.",
    ),
    (r"fd_lite2", "The same by EfficientNet-lite2."),
    (r"fd_parser", "The same by the face parser's last features: a family of its own, in no loss."),
    (r"kd_.*", "Kernel distance (polynomial, unbiased) of the same features."),
    (
        r"n_a_side.*",
        "How many pictures each side of the distances and of their floors has whose names end so.",
    ),
    (
        r"held_out_view_miou",
        "Mean over classes of intersection over union, the final field on held-out views of scans.",
    ),
    (r"held_out_views", "How many views those are."),
    (r"held_out_view_iou_\w+", "Intersection over union of one class on held-out views."),
    (
        r"new_head_miou",
        "The same of heads that the field was not trained on: a code is fitted to some views, others are scored.",
    ),
    (r"new_head_iou_\w+", "Intersection over union of one class on held-out views of those heads."),
    (r"new_heads", "How many heads were kept from training."),
    (r"share_plausible", "Share of sampled heads whose label views lie within what training heads show."),
    (r"both_eyes", "Share of sampled heads with two eyes."),
    (r"specks", "Loose pieces too small to be parts, in a view of a sampled head."),
    (
        r"novelty",
        "1 - mean IoU of a sampled head with the most alike training head; 0: training heads again.",
    ),
    (r"plausible_novelty", "The same, but 0 for heads that are not plausible."),
    (r"diversity", "1 - mean IoU of two sampled heads; 0: one head again and again."),
    (r"held_out_miou", "Mean over classes of intersection over union on what was kept from training."),
    (r"validation_photos", "Photos of other people by which the best state was chosen."),
    (r"\w+_validation", "Photos by which trainings choose their best state."),
    (r"\w+_held_out", "Photos of people that no stage trains on."),
    (r"\w+_people", "People that the source tells apart; 0: it does not, and photos are split by name."),
    (r"training_view_miou", "The same on views that were trained on: the gap is what does not generalise."),
    (
        r"input_miou.*",
        "Fit of inverted label maps: the field seen by the found code and camera, against the map.",
    ),
    (r"inversion_image_miou", "As inversion_miou, computed a map and averaged."),
    (
        r"new_head_input_miou.*",
        "Heads that the field was not trained on, each inverted from its frontal map: fit of that map.",
    ),
    (
        r"new_head_other_miou.*",
        "The same heads from all their other sides, one confusion. `_frozen`: before the field's modules moved.",
    ),
    (
        r"known_head_miou.*",
        "Held-out views of the heads it was trained on, before (`_frozen`) and after its modules learned from masks.",
    ),
    (r"inversion_miou", "Fit of inverted label maps, one confusion over all of them."),
    (r"inversion_maps|maps", "How many label maps were inverted."),
    (r"training_maps", "Label maps of sampled heads to train on."),
    (r"evaluation_maps", "Those of other heads, to score by."),
    (r"fov_degrees", "Field of view under which sampled heads are framed as the photos are."),
    (r"camera_distance", "Of these cameras from the head, head units: the field's own."),
    (
        r"control_pictures",
        "How many painted portraits were parsed again, all of maps that nothing was trained on.",
    ),
    (
        r"control_miou_ffhq",
        "As control_miou, of held-out FFHQ-like photos' maps, which are the judging parser's own.",
    ),
    (r"control_miou_celebamask", "As control_miou, of held-out maps that were made by hand."),
    (r"control_miou_sof", "As control_miou, of views of sampled heads."),
    (r"control_miou_frequent", "As control_miou, over classes that are frequent enough to be judged."),
    (r"control_miou", "Painted portraits parsed again, against the maps they were painted from."),
    (r"control_.*", "Agreement of painted portraits, parsed again, with their maps."),
    (r"\w*miou\w*", "Mean over classes of intersection over union, 0 to 1."),
    (r"\w*iou_\w+", "Intersection over union of one class, 0 to 1."),
    (r"\w*accuracy\w*", "Share of pixels with the right class. Blind to small parts: read the mIoU."),
    (r"has_\w+", "Share of usable scans on which the class occurs."),
    (r"\w+/\w+", "Share of avatars of this kind."),
    (r"(share|area)_\w+", "Share of pixels or faces of one class."),
    (r"\w*kimg", "Thousand photos shown in training."),
    (r"\w*(scans|photos|views|instances|identities)\w*", "How many."),
)

# Captions of pictures that stages leave, by path under data/.
CAPTIONS = {
    "sof/held_out.png": "Held-out views: above what was rendered from the scan, below what the field draws.",
    "sof/new_heads.png": "Heads that the field was not trained on: above the scan from a view that was held out, below "
    "the field by a code that was fitted to other views.",
    "inverted/inversion.png": "From above: label maps of portraits, the field from the codes and cameras found, and "
    "the same heads from three new sides.",
    "conditions/maps.png": "Label maps of heads sampled from the field, framed as the photos are: what is trained on.",
    "siw/samples.png": "While training: each row a label map, each column a style.",
    "siw/restyle.png": "Restyling a region: the map, one style, then another style in turn on skin, hair, cloth and "
    "background only, and that other style on all.",
    "evaluation/grid.png": "Rows: geometries sampled from the field. Columns: styles, the same down a column.",
    "evaluation/samples.png": "Rows: geometries sampled from the field. Columns: styles, the same down a column.",
    "evaluation/worst.png": "Of the pictures of held-out maps those that are most unlike photos, the worst first.",
    "evaluation/turntable.png": "One sampled head from several sides; style and noise are fixed along a row.",
}


def definition(key: str) -> str:
    """Definition of a metric; empty where its name says it."""
    return next((text for pattern, text in DEFINITIONS if re.fullmatch(pattern, key)), "")


def caption(path: str) -> str:
    """Caption of a picture; its name where there is none."""
    return CAPTIONS.get(path, path)
