"""What the model is trained to do, one file each."""
