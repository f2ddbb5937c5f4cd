"""Networks of the paper's competitors, and how they are trained: SPADE, Pix2PixHD and SEAN by pairs, StyleGAN2 without maps."""
