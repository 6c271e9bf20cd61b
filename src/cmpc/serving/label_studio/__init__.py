"""What Label Studio asks of a model: the protocol of its ML backends (https://labelstud.io/guide/ml_create)."""
