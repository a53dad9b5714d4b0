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

#[test]
fn version_2_sees_what_version_1_does_not() {
    let entry = |note: &str| {
        let entry = proto::Entry { entity: "a".into(), rank: Some(1), note: note.into(), ..Default::default() };
        row(Item::Entry(proto::StateEntry { ranking: "r".into(), edition: "1".into(), entry: Some(entry) }))
    };
    let (plain, noted) = (entry(""), entry("checked"));
    assert_eq!(Version::Numbers.of_row(&plain), Version::Numbers.of_row(&noted));
    assert_ne!(Version::Rows.of_row(&plain), Version::Rows.of_row(&noted));
}

#[test]
fn presence_is_part_of_the_text() {
    let entry = |rank| proto::Entry { entity: "a".into(), rank, ..Default::default() };
    let of = |rank| {
        row(Item::Entry(proto::StateEntry { ranking: "r".into(), edition: "1".into(), entry: Some(entry(rank)) }))
    };
    assert_ne!(Version::Rows.of_row(&of(None)), Version::Rows.of_row(&of(Some(0))));
    assert_eq!(Version::numbered(3), None);
}
