//! Files of a folder.

use crate::platform::{Platform, SAMPLE, certificates, client, points, prepare, secret, send};
use connectors::acquisition::client::{AcquireConfig, AcquireError};
use connectors::acquisition::make_platform_key;
use connectors::exchange::{Tapped, tap};
use std::collections::BTreeMap;
use std::time::Duration;

/// A folder with everything in it, and the platform that takes what is sent from there, at its port.
fn opened() -> (tempfile::TempDir, Platform, u16) {
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path());
    points(directory.path());
    let platform = Platform::open(directory.path());
    let port = platform.door.address().port();
    (directory, platform, port)
}

#[tokio::test]
async fn all_rows_of_the_projects_sample_arrive_once_however_often_they_are_sent() {
    let (directory, platform, port) = opened();
    let folder = directory.path();
    let summary = send(folder, port).await.unwrap();
    assert_eq!(
        (summary.lines, summary.values, summary.rejected, summary.unused, summary.envelopes),
        (12, 12, 0, 0, 3)
    );
    let told = platform.told();
    assert_eq!(told.len(), 12);
    let mut written: Vec<(String, String)> = Vec::new();
    for line in SAMPLE.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        written.push((
            fields[1].replace(' ', "T") + "Z",
            format!("{:.1}", fields[2].parse::<f64>().unwrap() * 1e3),
        ));
    }
    let mut arrived: Vec<_> =
        told.iter().map(|value| (value.measured_at.to_string(), format!("{:.1}", value.value))).collect();
    written.sort();
    arrived.sort();
    assert_eq!(arrived, written);

    // Nothing new; then without any memory at the client; then with a platform that was closed and opened.
    assert_eq!(send(folder, port).await.unwrap().envelopes, 0);
    std::fs::remove_file(folder.join("progress.json")).unwrap();
    assert_eq!(send(folder, port).await.unwrap().lines, 12);
    let Platform { door, counters, told: before } = platform;
    door.close().await;
    let again = Platform::open(folder);
    std::fs::remove_file(folder.join("progress.json")).unwrap();
    let summary = send(folder, again.door.address().port()).await.unwrap();
    assert_eq!((summary.lines, summary.unused), (12, 0));
    assert_eq!((before.lock().unwrap().len(), again.told().len()), (12, 0));
    assert_eq!(counters.snapshot().rejected, BTreeMap::new());
}

#[tokio::test]
async fn a_platform_with_another_certificate_or_a_client_with_another_password_is_refused_and_nothing_is_sent()
 {
    let (directory, platform, port) = opened();
    let folder = directory.path();
    certificates(folder, "other-");
    let mut stranger = client(folder, port, |text| text.replace("ca.pem", "other-ca.pem"));
    let error = stranger.run(true, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("TLS") && error.contains("127.0.0.1"), "{error}");
    secret(&folder.join("password"), "guessed");
    let error = send(folder, port).await.unwrap_err().to_string();
    assert!(error.contains("BadUserNamePassword"), "{error}");
    secret(&folder.join("password"), "substation");
    let mut other = client(folder, port, |text| text.replace("dso-west:historian", "dso-east"));
    let error = other.run(true, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("BadClientId"), "{error}");
    assert_eq!((platform.told().len(), platform.counters.snapshot().received), (0, 0));
    // Without TLS only to this machine.
    let text =
        "[platform]\naddress = \"grid.example:1883\"\narea = \"riverside\"\n[files]\nfolder = \"export\"\n";
    std::fs::write(folder.join("acquire.toml"), text).unwrap();
    let error = AcquireConfig::read(&folder.join("acquire.toml")).unwrap_err().to_string();
    assert!(error.contains("TLS only"), "{error}");
}

/// The operator has the key of another platform: the platform refuses by name, and no line counts as sent.
#[tokio::test]
async fn a_message_for_another_sites_key_is_refused_counted_and_not_noted_as_sent() {
    let (directory, platform, port) = opened();
    let folder = directory.path();
    std::fs::rename(folder.join("platform.pub"), folder.join("riverside.pub")).unwrap();
    let other = tempfile::tempdir().unwrap();
    make_platform_key(other.path(), "riverside").unwrap();
    std::fs::copy(other.path().join("platform.pub"), folder.join("platform.pub")).unwrap();
    let error = send(folder, port).await.unwrap_err();
    assert!(matches!(&error, AcquireError::Envelope { code, .. } if code == "recipient"), "{error}");
    assert!(platform.counters.snapshot().rejected["recipient"] >= 1);
    assert!(!folder.join("progress.json").exists() && platform.told().is_empty());
    // With the right key all of it is sent.
    std::fs::rename(folder.join("riverside.pub"), folder.join("platform.pub")).unwrap();
    assert_eq!(send(folder, port).await.unwrap().lines, 12);
    assert_eq!(platform.told().len(), 12);
}

#[tokio::test]
async fn a_value_without_a_point_is_counted_and_told_and_a_bad_line_stays_with_the_operator() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    prepare(folder);
    points(folder);
    let map = std::fs::read_to_string(folder.join("points.csv")).unwrap();
    let without: Vec<&str> = map.lines().filter(|line| !line.contains("bus.3")).collect();
    std::fs::write(folder.join("points.csv"), without.join("\n") + "\n").unwrap();
    let bad =
        format!("{SAMPLE}\"7777\",2015-01-01 00:11:00,1.0\n\"1\",never,1.0\n\"1\",2015-02-01 00:00:00,2\n");
    std::fs::write(folder.join("export/sample.csv"), bad).unwrap();
    let platform = Platform::open(folder);
    let summary = send(folder, platform.door.address().port()).await.unwrap();
    assert_eq!((summary.lines, summary.values, summary.rejected, summary.unused), (15, 13, 2, 6));
    assert_eq!((platform.told().len(), platform.counters.snapshot().rejected["pseudonym"]), (7, 6));
    let rejects = std::fs::read_to_string(folder.join("rejects.csv")).unwrap();
    assert!(
        rejects.contains("sample.csv,13,its device_id is not in the mapping")
            && rejects.contains("sample.csv,14,"),
        "{rejects}"
    );
    assert_eq!(rejects.lines().count(), 3);
}

#[tokio::test]
async fn values_that_fail_twice_are_given_up_and_those_that_cannot_be_taken_now_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    prepare(folder);
    points(folder);
    let (tap, mut tapped) = tap(8);
    let platform = Platform::open_tapped(folder, Some(tap));
    let sending = send(folder, platform.door.address().port());
    let keeping = async {
        let (mut envelopes, mut passed) = (Vec::new(), Vec::new());
        while passed.len() < 3 || passed[2] == 0 {
            let next = tokio::time::timeout(Duration::from_secs(30), tapped.recv()).await;
            let Tapped { values, receipt } = next.expect("it goes on").unwrap();
            let nth = envelopes.iter().position(|known| *known == values).unwrap_or_else(|| {
                envelopes.push(values);
                passed.push(0);
                passed.len() - 1
            });
            passed[nth] += 1;
            let receipt = receipt.unwrap();
            match (nth, passed[nth]) {
                // As when a stage breaks at one of them each time.
                (0, _) => drop(receipt),
                (1, 1..4) => receipt.not_now(),
                _ => receipt.confirm(),
            }
        }
        passed
    };
    let (sent, passed) = tokio::join!(sending, keeping);
    assert_eq!((sent.unwrap().lines, passed), (12, vec![2, 4, 1]));
    assert_eq!(platform.counters.snapshot().rejected, BTreeMap::from([("given_up", 1)]));
}
