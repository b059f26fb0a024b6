"""The networks, as pure functions of tensors."""
