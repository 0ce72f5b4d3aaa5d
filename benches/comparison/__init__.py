"""Measures rwsgi beside its rivals. benches/compare is the command, and its --help the documentation."""
