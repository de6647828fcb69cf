//! Books of blocks that do not fit where they would move: offers leave and come back until nothing is overloaded.

use super::*;

/// `count` chargers in four zones behind one transformer that lacks energy in four slots; what is moved
/// is a few mWh too much for the room there is.
pub(super) fn crowded_book(count: i64) -> Book {
    let zones: Zones =
        (0..4).map(|zone| (ZoneId(zone), vec![point(zone).into(), point(100).into()])).collect();
    let lack = count * KWH / 4;
    let mut all_rows = Vec::new();
    for branch in (0..4).chain([100]) {
        let headroom = |index: usize| match (index, branch) {
            (0..4, 100) => -lack,
            (0..4, _) => lack,
            (_, 100) => (count / 20 + 1 + index as i64 % 3) * KWH,
            _ => (count / 16 + 2) * KWH,
        };
        all_rows.extend(rows(branch, &(0..24).map(headroom).collect::<Vec<_>>()));
    }
    let offer = |n: i64| {
        let size = KWH + n * 7_919 % 4 * KWH / 4 + n % 9 + 1;
        let mut offer =
            aggregate(&format!("a-{n}"), n as u32 % 4, &[(size, size); 3], &[size; 3], 6 + n * 13 % 14);
        offer.start_after = slot(n % 3);
        offer.start_before = offer.start_after.plus(6 + n * 13 % 14);
        offer.default_schedule.start = offer.start_after;
        offer.prices.decrease = Money(10_000 + n * 37 % 1_000 * 100);
        offer
    };
    book_with(need(vec![bid(100, 0, &[-lack; 4], 900_000)], all_rows), zones, (0..count).map(offer).collect())
}

#[test]
fn a_book_of_blocks_that_hardly_fit_is_cleared_without_overload_and_twice_alike() {
    crowded_books_are_cleared((4..=26).step_by(2).chain([40]));
}

#[test]
#[ignore = "a minute; `make soak` runs it"]
fn large_books_of_blocks_that_hardly_fit_are_cleared_without_overload() {
    crowded_books_are_cleared([300, 1_000]);
}

fn crowded_books_are_cleared(counts: impl IntoIterator<Item = i64>) {
    for count in counts {
        let book = crowded_book(count);
        let clearing = clear(&book, &Rules::default(), instant(-120));
        assert_eq!(clearing.objection, None);
        assert!(count < 6 || !clearing.accepted.is_empty(), "{count}");
        let set: Vec<_> =
            clearing.accepted.iter().map(|one| (&book.offers[&one.aggregate], &one.schedule)).collect();
        let welfare = judge(&book, &set).expect("nothing is overloaded");
        let stated = i128::from(clearing.welfare.0);
        assert_eq!(i128::from(welfare).div_euclid(1_000_000), stated, "{count}");
        assert!(clearing.bound >= clearing.welfare);
        if count < 100 {
            assert_eq!(clearing, clear(&book, &Rules::default(), instant(-120)));
        }
    }
}

#[test]
fn offers_too_large_for_exact_sums_are_left_out_and_the_others_are_bought() {
    let mut offers: Vec<_> = (0..3).map(|n| aggregate(&format!("a{n}"), 1, &[(0, KWH)], &[KWH], 0)).collect();
    for n in 0..12 {
        let huge = 1_000_000_000_000;
        let mut offer = aggregate(&format!("huge-{n}"), 1, &[(0, huge); 192], &[huge; 192], 0);
        offer.start_before = slot(500);
        offer.prices = DeviationPrices { decrease: Money(1_000_000_000), increase: Money(1_000_000_000) };
        offers.push(offer);
    }
    let mut elements: Vec<Carried> = (0..120).map(|branch| point(1_000 + branch).into()).collect();
    elements.push(point(1).into());
    let need = need(vec![bid(1, 0, &[-3 * KWH], 500_000)], free(1));
    let mut book = book(need, offers);
    book.zones.insert(ZoneId(1), elements);
    let clearing = clear(&book, &Rules::default(), instant(-120));
    assert_eq!(clearing.objection, None);
    let bought: Vec<_> = clearing.accepted.iter().map(|one| one.aggregate.as_str()).collect();
    assert_eq!(bought, ["a0", "a1", "a2"]);
}
