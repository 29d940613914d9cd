"""Networks: tensors in, tensors out. They know no files, no devices and no numpy images."""
