"""Networks of the paper's competitors that learn from pairs: SPADE, Pix2PixHD, SEAN; not trained by any stage yet."""
