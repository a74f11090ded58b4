"""Discriminators: networks that tell decoded from recorded audio, and by what they see teach a codec."""
