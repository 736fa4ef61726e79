"""How each sink is tried: a module for each in extension/sinks/, under the same name, with its KIND."""
