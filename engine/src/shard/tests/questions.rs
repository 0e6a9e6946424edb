//! What is answered to questions about several metrics, and to those of more than a reply holds.

use super::*;

#[test]
fn a_bulk_question_keeps_the_askers_order() {
    let mut world = World::new(3, None);
    let names: Vec<String> = (0..30).map(|metric| format!("bulk.m{metric}")).collect();
    for (metric, name) in (0..).zip(&names) {
        let point = world.point(1, f64::from(metric));
        world.take(name, point);
    }
    world.hold = true;
    world.settle();
    let parts = world.shards[0].ask_points(9, names.iter().map(String::as_str));
    world.settle();
    let mut found = vec![f64::NAN; names.len()];
    for _ in 0..parts {
        let answer = world.shards[0].next_answer().unwrap();
        let Reply::Points(parts) = answer.reply else {
            panic!("{answer:?}")
        };
        for (index, points) in parts {
            found[index as usize] = points[0].value;
        }
    }
    assert_eq!(found, (0..30).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn a_question_for_more_points_than_a_reply_holds_is_answered_without_them() {
    let mut world = World::new(1, None);
    let points = 1000_u32;
    for before in 0..points {
        let mut point = world.point(1, 1.0);
        point.timestamp -= before;
        world.take("much", point);
    }
    let mut ask = |times: usize| {
        world.shards[0].ask_points(9, std::iter::repeat_n("much", times));
        world.shards[0].next_answer().unwrap().reply
    };
    let fit = QUERY_POINTS_MAX / points as usize;
    assert!(matches!(ask(fit + 1), Reply::TooManyPoints));
    let Reply::Points(found) = ask(fit) else {
        panic!("as many as fit are answered")
    };
    assert_eq!(found.len(), fit);
}
