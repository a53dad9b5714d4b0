use super::*;

fn row(item: Item) -> proto::StateRow {
    proto::StateRow { item: Some(item), matched_filters: vec!["not part of it".into()] }
}

#[test]
fn the_text_of_a_figure_is_that_of_the_contract() {
    let figure = proto::Observation {
        indicator: "I".into(),
        entity: "CHN".into(),
        source: "s".into(),
        dimensions: vec![proto::Dimension { id: "SEX".into(), value: "F".into() }],
        period: "2024".into(),
        value: Some(proto::Value { number: Some(1.5), decimals: Some(0), ..Default::default() }),
        revision: 7,
        ..Default::default()
    };
    let text = String::from_utf8(text::of_row(&Item::Figure(figure))).unwrap();
    assert_eq!(text, "F1:I3:CHN1:s10:8:3:SEX1:F4:202436:16:3ff80000000000001:00:0:0:0:0:0:0:0:0:1:70:");
}

fn entry_row(entry: proto::Entry) -> proto::StateRow {
    row(Item::Entry(proto::StateEntry { ranking: "r".into(), edition: "1".into(), entry: Some(entry) }))
}

#[test]
fn version_2_covers_what_version_1_does_not() {
    let plain = entry_row(proto::Entry { entity: "a".into(), rank: Some(1), ..Default::default() });
    let with_note =
        entry_row(proto::Entry { entity: "a".into(), rank: Some(1), note: "checked".into(), ..Default::default() });
    assert_eq!(Version::Numbers.of_row(&plain), Version::Numbers.of_row(&with_note));
    assert_ne!(Version::Rows.of_row(&plain), Version::Rows.of_row(&with_note));
}

#[test]
fn an_unset_rank_differs_from_zero() {
    let unset = entry_row(proto::Entry { entity: "a".into(), rank: None, ..Default::default() });
    let zero = entry_row(proto::Entry { entity: "a".into(), rank: Some(0), ..Default::default() });
    assert_ne!(Version::Rows.of_row(&unset), Version::Rows.of_row(&zero));
}

#[test]
fn there_is_no_version_3() {
    assert_eq!(Version::numbered(3), None);
}
