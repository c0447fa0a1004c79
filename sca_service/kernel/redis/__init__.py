"""How Redis or Valkey is reached: one server, a primary among its replicas, or a cluster."""
