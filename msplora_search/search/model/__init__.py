"""What a search expects of configurations that it has not trained: pure functions of what was measured."""
