-- The reviews themselves: data can stand in the query. A file of your own is a stage of one line (`file:`).
-- reads: nothing
SELECT 'review-' || number AS row_key, product, review
FROM (
    VALUES
    (1, 'Kestrel kettle', 'Boils fast and pours without dripping. The lid is stiff, but I have had worse.'),
    (2, 'Kestrel kettle', 'Leaked from the base after two weeks. Sent it back.'),
    (3, 'Kestrel kettle', 'Quiet, quick, handsome. The handle stays cool.'),
    (4, 'Harrier lamp', 'Warm light, and the dimmer goes really low. Perfect beside the bed.'),
    (5, 'Harrier lamp', 'The switch is on the cable, under the desk. Who thought of that?'),
    (6, 'Harrier lamp', 'Nice light, wobbly foot. I glued a coin under it.'),
    (7, 'Merlin backpack', 'Rain for three days and everything inside stayed dry.'),
    (8, 'Merlin backpack', 'Straps cut into the shoulders once it is full. Zips are excellent, though.')
) AS v (number, product, review)
ORDER BY product, number
