"""The SIW StyleGAN: operators, generator, discriminators, style mixing, losses, training."""
