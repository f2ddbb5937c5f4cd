"""Photo sets: layouts, checks, decoding, alignment, the store."""
