"""The semantic instance-wise StyleGAN: label maps painted region by region.

Start at `model.py` (a trained generator: load, paint, restyle), `generator.py` (its layers), `train.py` and
`training_step.py` (its training), `critics/` (what judges it) and `condition_store.py` (label maps of heads to paint).
"""
