"""Programs that go with a pulled model, as they are: each builds one family's model with PyTorch and safetensors alone.

Nothing here imports the client. A test compares each with the client's own module, to the bit.
"""
