"""Training loops that method plugins share. They know tensors, streams and budgets, and no method by name."""
