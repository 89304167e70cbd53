-- name: reserve_call
select n, is_reserved, refused from budget_reserve_v1($1)

-- name: book(bookings)
select usage_book_v2(:bookings) as tickets

-- name: sweep(seconds)
select budget_sweep_v1(:seconds) as swept
