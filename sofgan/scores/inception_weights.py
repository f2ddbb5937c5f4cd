"""The file with the weights of FID's network. Imports no torch."""

# The network of "FID" as torch-fidelity publishes it: name, address, digest.
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"


INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}"


INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
