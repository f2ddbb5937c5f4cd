"""The paper's competitors and their training: SPADE, Pix2PixHD, SEAN by pairs, StyleGAN2 without maps."""
