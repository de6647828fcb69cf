//! What is read, what is refused line by line, and that any bytes are answered.

use super::*;
use grid::Quality;
use proptest::prelude::*;

fn good(text: &str) -> PointMap {
    read(text.as_bytes()).unwrap_or_else(|bad| panic!("{}", lines(&bad)))
}

#[test]
fn a_row_turns_foreign_numbers_into_base_units_and_load_sign() {
    let map = good(
        "# substation 7\ntag,element,quantity,phase,unit,scale,sign,accuracy,deadband\n\
         1/holding/0/f32,bus.2,u,a,kV,0.001,,0.5,0.002\n\
         \"ns=2;s=\"\"P, total\"\"\",branch.21,p,,kW,,generation,,\n",
    );
    let [voltage, power] = map.rows.as_slice() else { panic!("{map:?}") };
    assert_eq!((voltage.tag.as_str(), voltage.line), ("1/holding/0/f32", 3));
    assert_eq!((voltage.point.to_string(), voltage.factor), ("bus.2.u.a".to_owned(), 1.0));
    assert_eq!((voltage.accuracy, voltage.deadband), (Some(0.005), 2.0));
    assert_eq!(power.tag, "ns=2;s=\"P, total\"");
    assert_eq!((power.factor, power.accuracy, power.deadband), (-1000.0, None, 0.0));
    assert_eq!(map.accuracies(), [(voltage.point, 0.005)].into());
}

#[test]
fn columns_may_come_in_any_order_and_a_byte_order_mark_before_them() {
    let map = good("\u{feff}unit,tag,quantity,element\nA,x,i,branch.11\n");
    assert_eq!(map.rows[0].point.to_string(), "branch.11.i");
    assert_eq!(good("tag,element,quantity,unit\n"), PointMap::default());
}

#[test]
fn lines_are_those_of_an_editor_whatever_stands_between_and_ends_them() {
    let text = "tag,element,quantity,unit\r\n# the first\r\n\r\na,tree.2,i,A\r\nb,branch.11,i,A\r\n\r\n#\r\nc,tree.3,i,A\r\n";
    let bad = read(text.as_bytes()).unwrap_err();
    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [4, 8]);
    let bad = read(text.replace('\r', "").as_bytes()).unwrap_err();
    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [4, 8]);
    assert_eq!(good("tag,element,quantity,unit\r\n\r\nb,branch.11,i,A\r\n").rows[0].line, 3);
}

#[test]
fn every_bad_line_is_named_and_not_only_the_first() {
    let text = "tag,element,quantity,phase,unit,scale,sign,accuracy,deadband\n\
        a,bus.2,u,a,V,,,,\n\
        ,bus.2,u,b,V,,,,\n\
        b,tree.2,u,b,V,,,,\n\
        c,bus.2,volt,b,V,,,,\n\
        d,bus.2,u,d,V,,,,\n\
        e,bus.2,u,b,kW,,,,\n\
        f,bus.2,u,b,V,0,,,\n\
        g,bus.2,u,b,V,\"1,5\",,,\n\
        h,bus.2,u,b,V,,generation,,\n\
        i,branch.21,p,,W,,up,,\n\
        j,bus.2,u,b,V,,,0,\n\
        k,bus.2,u,b,V,,,,-1\n\
        a,bus.2,u,b,V,,,,\n\
        l,bus.2,u,a,V,,,,\n\
        m,bus.2\n\
        n,bus.x,u,b,V,NaN,,,\n";
    let bad = read(text.as_bytes()).unwrap_err();
    let found: Vec<_> = bad.iter().map(|bad| (bad.line, bad.column.unwrap_or_default())).collect();
    let expected = [
        (3, "tag"),
        (4, "element"),
        (5, "quantity"),
        (6, "phase"),
        (7, "unit"),
        (8, "scale"),
        (9, "scale"),
        (10, "sign"),
        (11, "sign"),
        (12, "accuracy"),
        (13, "deadband"),
        (14, "tag"),
        (15, "element"),
        (16, ""),
        (17, "element"),
        (17, "scale"),
    ];
    assert_eq!(found, expected, "{}", lines(&bad));
    assert!(bad[11].reason.contains("line 2") && bad[12].reason.contains("line 2"), "{}", lines(&bad));
}

#[test]
fn a_header_that_is_not_ours_says_what_is_wrong() {
    for (text, says) in [
        ("", "column tag is missing"),
        ("tag;element;quantity;unit\n", "save it with commas"),
        ("tag,tag,element,quantity,unit\n", "twice"),
        ("tag,element,quantity,unit,colour\n", "colour"),
    ] {
        let bad = read(text.as_bytes()).unwrap_err();
        assert!(lines(&bad).contains(says), "{text:?}: {}", lines(&bad));
    }
    let bad = read(b"tag,element,quantity,unit\n\xff,bus.1,u,V\n").unwrap_err();
    assert_eq!((bad[0].line, bad[0].reason.as_str()), (2, "it is not UTF-8"));
}

#[test]
fn points_that_the_network_does_not_have_are_named_by_line() {
    let map = good("tag,element,quantity,unit\na,bus.2,u,V\nb,bus.99,u,V\n");
    let bad = map.unknown(|point| {
        (!point.to_string().starts_with("bus.2.")).then(|| ("element", "there is none".to_owned()))
    });
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].to_string(), "line 3: element: bus.99.u is no point of the network: there is none");
}

#[test]
fn a_file_is_read_or_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("points.csv");
    assert!(read_path(&path).unwrap_err().to_string().contains("points.csv"));
    std::fs::write(&path, "tag,element,quantity,unit\nx,bus.1,u,W\n").unwrap();
    let said = read_path(&path).unwrap_err().to_string();
    assert!(said.contains("points.csv") && said.contains("line 2: unit"), "{said}");
}

#[test]
fn a_small_change_waits_and_silence_ends_it() {
    let value = |value, seconds| Measurement {
        point: "bus.1.u.a".parse().unwrap(),
        value,
        quality: Quality::Measured,
        measured_at: Timestamp::from_seconds(seconds),
        received_at: Timestamp::from_seconds(seconds),
    };
    let mut passed = Passed::default();
    let mut is_news = |number, seconds| passed.is_news(&value(number, seconds), 0.5);
    assert!(is_news(230.0, 0));
    assert!(!is_news(230.4, 5), "within the deadband");
    assert!(is_news(230.5, 10), "as far from the last one that was passed on");
    assert!(!is_news(230.5, 69));
    assert!(is_news(230.5, 70), "silent for long enough");
    passed.forget();
    assert!(passed.is_news(&value(230.5, 71), 0.5));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn any_rows_are_read_or_each_bad_line_is_named(
        rows in proptest::collection::vec("[a-c]{0,2},(bus|branch|x)\\.[0-9]{1,2},[uipq],[a-d]?,(V|A|W|kvar)", 0..30),
    ) {
        let text = format!("tag,element,quantity,phase,unit\n{}", rows.join("\n"));
        match read(text.as_bytes()) {
            Ok(map) => prop_assert_eq!(map.rows.len(), rows.len()),
            Err(bad) => {
                let mut lines: Vec<u64> = bad.iter().map(|bad| bad.line).collect();
                lines.dedup();
                prop_assert!(lines.is_sorted() && lines.iter().all(|line| (2..=rows.len() as u64 + 1).contains(line)));
                // What is left without them is a good map.
                let rest: Vec<_> = (2..).zip(&rows).filter(|(line, _)| !lines.contains(line)).map(|(_, row)| row.as_str()).collect();
                let rest = format!("tag,element,quantity,phase,unit\n{}", rest.join("\n"));
                prop_assert!(read(rest.as_bytes()).is_ok());
            }
        }
    }
}
