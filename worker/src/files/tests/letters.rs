use super::*;

#[test]
fn dead_letters_read_back_as_they_were() {
    let headers = [
        Header { name: b"h", value: None },
        Header { name: b"h", value: Some(b"\xff\0") },
        Header { name: b"", value: Some(b"") },
        Header { name: b"n\xff", value: Some(b"v") },
    ];
    let bad = Record { key: Some(b"k"), value: Some(b"{\xff\0"), headers: &headers, ..record(3) };
    let bare = Record { timestamp: None, key: Some(b""), ..record(4) };
    let mut writer = writer();
    writer.dead(&bad, "MalformedJson", "ends inside an object").unwrap();
    writer.dead(&bare, "EmptyBody", "").unwrap();
    let mut read = Vec::new();
    for file in writer.finish(&close()).unwrap() {
        for rows in batches(file.body).unwrap() {
            let rows = rows.unwrap();
            read.extend(dead_letters(&rows).unwrap().into_iter().map(|letter| format!("{letter:?}")));
        }
    }
    read.sort();
    let expected = [
        DeadLetter {
            reason: "EmptyBody",
            detail: "",
            offset: 4,
            timestamp: None,
            key: Some(b""),
            headers: vec![],
            value: None,
        },
        DeadLetter {
            reason: "MalformedJson",
            detail: "ends inside an object",
            offset: 3,
            timestamp: Some(MORNING),
            key: Some(b"k"),
            headers: vec![("h", None), ("h", Some(b"\xff\0")), ("", Some(b"")), (r"n\xFF", Some(b"v"))],
            value: Some(b"{\xff\0"),
        },
    ];
    assert_eq!(read, expected.map(|letter| format!("{letter:?}")));
}

#[test]
fn rows_of_events_are_no_dead_letters() {
    let body = encode(Encoding::default(), &[(record(1), event())]).remove(0).body;
    let rows = batches(body).unwrap().next().unwrap().unwrap();
    assert!(dead_letters(&rows).unwrap_err().to_string().contains("no column reason"));
}

#[test]
fn large_rows_are_decoded_few_at_a_time() {
    let value = vec![7; 1 << 20];
    let mut writer = writer();
    for offset in 0..32 {
        writer.dead(&Record { value: Some(&value), ..record(offset) }, "MalformedJson", "").unwrap();
    }
    let body = writer.finish(&close()).unwrap().remove(0).body;
    let rows: Vec<usize> = batches(body).unwrap().map(|rows| rows.unwrap().num_rows()).collect();
    assert_eq!(rows.iter().sum::<usize>(), 32);
    assert!(rows.iter().all(|rows| *rows <= 4), "{rows:?}");
}
