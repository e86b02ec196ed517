-- What was said of each stage's rest before it was spent, and what had been spent by then.
-- reads: offers
SELECT * EXCLUDE (place) FROM offers ORDER BY quoted_at, place
