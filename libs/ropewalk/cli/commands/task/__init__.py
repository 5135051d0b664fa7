"""Commands about one job that is baked into a model."""
