"""ADA: autoregressive discrete autoencoders, stacked (Dieleman, van den Oord and Simonyan 2018)."""
