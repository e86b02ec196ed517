"""How two answers are compared: what ``compare_answers`` and its neighbours rest on."""
