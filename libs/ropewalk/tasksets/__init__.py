"""Task sets: what models are asked, as data with a version. Reading and checking them, and their place in the store."""
