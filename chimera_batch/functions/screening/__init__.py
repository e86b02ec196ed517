"""What makes a problem unfit: what ``screen_problem`` rests on."""
