-- One row per ranking that says all it has to: each criterion an order of the three problems. Others are left out.
-- reads: answers
SELECT
    row_key,
    triple,
    places,
    from_json(answer -> 'clarity', '["INTEGER"]') AS clarity,
    from_json(answer -> 'well_posedness', '["INTEGER"]') AS well_posedness,
    from_json(answer -> 'depth', '["INTEGER"]') AS depth,
    answer ->> 'working' AS working,
    model AS judge_model
FROM answers
WHERE
    outcome = 'ok'
    AND list_sort(clarity) = [1, 2, 3]
    AND list_sort(well_posedness) = [1, 2, 3]
    AND list_sort(depth) = [1, 2, 3]
ORDER BY row_key
