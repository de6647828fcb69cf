use super::envelope::{Expected, Header, Opened, Receipt, SCHEMA, Sealed, open, seal};
use super::pseudonym::{Pseudonym, Pseudonymiser};
use super::row::Row;
use super::*;
use crate::house::{Refusal, RejectCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grid::Timestamp;
use proptest::prelude::*;
use sha2::Digest;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn now() -> Timestamp {
    "2026-11-27T12:00:00Z".parse().unwrap()
}

struct Ends {
    site: SiteKey,
    signing: SigningKey,
    platform: PlatformKey,
}

impl Ends {
    fn new() -> Self {
        Self {
            site: SiteKey::generate("west", "settlement", "riverside", "2026").unwrap(),
            signing: SigningKey::generate("dso-west").unwrap(),
            platform: PlatformKey::generate("riverside").unwrap(),
        }
    }

    fn header(&self) -> Header {
        Header {
            sender: "dso-west".into(),
            recipient: self.platform.public().id(),
            purpose: "settlement".into(),
            schema: SCHEMA.into(),
            file: Pseudonymiser::new(&self.site).file(b"a.csv", b"first"),
            first: 1,
            last: 3,
            at: now(),
        }
    }

    fn rows(&self) -> Vec<Row> {
        let pseudonymiser = Pseudonymiser::new(&self.site);
        let row = |line, id| Row {
            line,
            pseudonym: pseudonymiser.pseudonym(id, ""),
            observed_at: now(),
            value: 18.7335,
        };
        vec![row(1, "7-PRE-001"), row(3, "7-PRE-002")]
    }

    fn seal(&self, header: &Header) -> Sealed {
        seal(header, &self.rows(), &self.signing, self.platform.public()).unwrap()
    }

    fn open(&self, bytes: &[u8]) -> Result<Opened, Refusal> {
        let sender = self.signing.public();
        open(bytes, &Expected { key: &self.platform, sender: &sender, purpose: "settlement" }, now())
    }
}

#[test]
fn the_same_id_has_the_same_pseudonym_and_every_other_key_purpose_recipient_and_epoch_another() {
    let secret_of = |change: fn(&mut SiteKey)| {
        let mut site = SiteKey::generate("west", "settlement", "riverside", "2026").unwrap();
        change(&mut site);
        site
    };
    let site = secret_of(|_| {});
    let of = |site: &SiteKey| Pseudonymiser::new(site).pseudonym("7-PRE-001", "");
    assert_eq!(of(&site), of(&site.clone()));
    assert_ne!(of(&site), of(&secret_of(|_| {})), "another secret");
    let mut others = vec![of(&site), Pseudonymiser::new(&site).pseudonym("7-PRE-001", "p")];
    for change in [
        |site: &mut SiteKey| site.site = "east".into(),
        |site: &mut SiteKey| site.purpose = "research".into(),
        |site: &mut SiteKey| site.recipient = "hillside".into(),
        |site: &mut SiteKey| site.epoch = "2027".into(),
        // What moves over a border is not the same either.
        |site: &mut SiteKey| (site.site, site.purpose) = ("wests".into(), "ettlement".into()),
    ] {
        let mut other = site.clone();
        change(&mut other);
        others.push(of(&other));
    }
    let different: std::collections::BTreeSet<Pseudonym> = others.iter().copied().collect();
    assert_eq!(different.len(), others.len());
    let text = others[0].to_string();
    assert_eq!(text.parse::<Pseudonym>().unwrap(), others[0]);
    assert!(!text.contains("PRE") && text.len() == 42);
}

/// Whoever knows all ids, and the algorithm, but no key.
#[test]
fn enumerating_all_ids_finds_no_pseudonym_without_the_key() {
    let theirs = Pseudonymiser::new(&Ends::new().site).pseudonym("7-PRE-001", "");
    let guess = Pseudonymiser::new(&Ends::new().site);
    for n in 0..20_000 {
        assert_ne!(guess.pseudonym(&format!("7-PRE-{n:03}"), ""), theirs);
        // Nor is it a plain digest of the id, as the seed would have had it.
        assert!(!theirs.to_string().contains(&hex(&sha2::Sha256::digest(format!("7-PRE-{n:03}")))[..32]));
    }
}

#[test]
fn what_was_sealed_is_opened_and_its_receipt_is_believed() {
    let ends = Ends::new();
    let sealed = ends.seal(&ends.header());
    let opened = ends.open(&sealed.bytes).unwrap();
    assert_eq!((&opened.rows, &opened.header, opened.id), (&ends.rows(), &ends.header(), sealed.id));
    let Receipt::Kept { envelope, unused, proof } = opened.kept(1) else { panic!() };
    assert_eq!(envelope, sealed.id);
    assert!(sealed.is_kept_by(unused, &proof));
    assert!(!sealed.is_kept_by(0, &proof), "another number of unused rows");
    assert!(!ends.seal(&ends.header()).is_kept_by(unused, &proof), "the receipt of another envelope");
    assert!(!sealed.is_kept_by(unused, &"0".repeat(64)) && !sealed.is_kept_by(unused, "x"));
}

#[test]
fn nothing_in_an_envelope_can_be_read_on_the_way() {
    let ends = Ends::new();
    let sealed = ends.seal(&ends.header());
    let text = String::from_utf8(sealed.bytes).unwrap();
    let mut seen = text.clone().into_bytes();
    text.split('.').for_each(|part| seen.extend(URL_SAFE_NO_PAD.decode(part).unwrap()));
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(seen.contains("dso-west") && seen.contains("settlement"), "the header is open");
    for secret in ["18.7335", "7-PRE", "observed", &ends.rows()[0].pseudonym.to_string()[10..]] {
        assert!(!seen.contains(secret), "{secret}");
    }
}

/// Every single bit of a real envelope, and every cut.
#[test]
fn an_envelope_with_one_bit_changed_is_refused_wherever_the_bit_is() {
    let ends = Ends::new();
    let bytes = ends.seal(&ends.header()).bytes;
    let mut codes = std::collections::BTreeSet::new();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[place] ^= 1 << bit;
            codes.insert(ends.open(&altered).unwrap_err().0);
        }
        assert!(ends.open(&bytes[..place]).is_err());
    }
    assert!(codes.contains(&RejectCode::Signature) && codes.contains(&RejectCode::Envelope), "{codes:?}");
}

#[test]
fn an_envelope_that_is_not_for_us_is_refused_with_the_reason() {
    let (ends, other) = (Ends::new(), Ends::new());
    let code = |bytes: &[u8]| ends.open(bytes).map(|_| ()).unwrap_err().0;
    let header = ends.header();
    // For another platform's key, and one that says it is for ours and was sealed for another.
    let elsewhere = Header { recipient: other.platform.public().id(), ..header.clone() };
    let seal_for = |header: &Header, key: &SigningKey, to: &PlatformKey| {
        seal(header, &ends.rows(), key, to.public()).unwrap().bytes
    };
    assert_eq!(code(&seal_for(&elsewhere, &ends.signing, &other.platform)), RejectCode::Recipient);
    assert_eq!(code(&seal_for(&header, &ends.signing, &other.platform)), RejectCode::Sealed);
    // Signed by somebody else, under the sender's name or their own.
    assert_eq!(code(&seal_for(&header, &other.signing, &ends.platform)), RejectCode::Signature);
    let own = Header { sender: "mallory".into(), ..header.clone() };
    assert_eq!(code(&seal_for(&own, &other.signing, &ends.platform)), RejectCode::Sender);
    for (header, expected) in [
        (Header { purpose: "research".into(), ..header.clone() }, RejectCode::Purpose),
        (Header { schema: "rows-2".into(), ..header.clone() }, RejectCode::Envelope),
        (Header { at: now().minus(Duration::from_secs(25 * 3600)), ..header.clone() }, RejectCode::Time),
        (Header { at: now().plus(Duration::from_secs(400)), ..header.clone() }, RejectCode::Time),
        (Header { first: 0, ..header.clone() }, RejectCode::Envelope),
        (Header { first: 4, ..header.clone() }, RejectCode::Envelope),
        // A row outside of the lines that the header speaks for.
        (Header { last: 2, ..header.clone() }, RejectCode::Json),
    ] {
        assert_eq!(code(&ends.seal(&header).bytes), expected, "{header:?}");
    }
    assert_eq!(code(&vec![b'a'; 300 * 1024]), RejectCode::TooLarge);
}

/// A signature taken off and put under somebody else's name: the header is part of what is sealed.
#[test]
fn an_envelope_of_another_cannot_be_passed_off_as_ones_own() {
    let ends = Ends::new();
    let text = String::from_utf8(ends.seal(&ends.header()).bytes).unwrap();
    let parts: Vec<&str> = text.split('.').collect();
    let mallory = SigningKey::generate("mallory").unwrap();
    let header = Header { sender: "mallory".into(), ..ends.header() };
    let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).unwrap());
    let signed = format!("{header}.{}.{}", parts[1], parts[2]);
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mallory.sign(signed.as_bytes())));
    let sender = mallory.public();
    let expected = Expected { key: &ends.platform, sender: &sender, purpose: "settlement" };
    assert_eq!(open(forged.as_bytes(), &expected, now()).unwrap_err().0, RejectCode::Sealed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_are_refused_and_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        text in "[A-Za-z0-9_.-]{0,300}",
    ) {
        let ends = ENDS.get_or_init(Ends::new);
        prop_assert!(ends.open(&bytes).is_err());
        prop_assert!(ends.open(text.as_bytes()).is_err());
        let _ = row::read(&bytes, 1, 9);
        let _ = row::read(text.as_bytes(), 1, 9);
    }

    /// The parts of a real one, cut, doubled, mixed and mutated, signed anew by the true sender: what is behind the
    /// signature meets hostile bytes, too.
    #[test]
    fn hostile_bytes_behind_a_true_signature_are_refused_and_never_panic(
        header in prop::collection::vec(any::<u8>(), 0..200),
        key in prop::collection::vec(any::<u8>(), 0..70),
        body in prop::collection::vec(any::<u8>(), 0..200),
        keep in prop::array::uniform3(any::<bool>()),
    ) {
        let ends = ENDS.get_or_init(Ends::new);
        let text = String::from_utf8(ends.seal(&ends.header()).bytes).unwrap();
        let parts: Vec<&str> = text.split('.').collect();
        let mixed: Vec<String> = [&header, &key, &body].iter().zip(keep).zip(&parts)
            .map(|((bytes, keep), part)| if keep { (*part).to_owned() } else { URL_SAFE_NO_PAD.encode(bytes) })
            .collect();
        let signed = mixed.join(".");
        let whole = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ends.signing.sign(signed.as_bytes())));
        prop_assert_eq!(ends.open(whole.as_bytes()).is_ok(), keep == [true; 3]);
    }

    #[test]
    fn every_row_comes_out_as_it_went_in(values in prop::collection::vec((any::<f64>(), 0_i64..7_000_000_000), 0..40)) {
        let ends = ENDS.get_or_init(Ends::new);
        let pseudonym = Pseudonymiser::new(&ends.site).pseudonym("x", "");
        let rows: Vec<Row> = values.iter().filter(|(value, _)| value.is_finite()).zip(5..)
            .map(|(&(value, at), line)| Row { line, pseudonym, observed_at: Timestamp::from_seconds(at), value })
            .collect();
        let header = Header { first: 5, last: 60, ..ends.header() };
        let sealed = seal(&header, &rows, &ends.signing, ends.platform.public()).unwrap();
        prop_assert_eq!(ends.open(&sealed.bytes).unwrap().rows, rows);
    }
}

static ENDS: std::sync::OnceLock<Ends> = std::sync::OnceLock::new();

#[test]
fn keys_are_made_once_and_secrets_are_for_their_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    let made = make_client_keys(folder, "dso-west", ("west", "settlement", "riverside", "2026")).unwrap();
    let made: Vec<Made> = made.into_iter().chain(make_platform_key(folder, "riverside").unwrap()).collect();
    assert_eq!(made.len(), 5);
    for Made { path, secret } in &made {
        let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if *secret { 0o600 } else { 0o644 }, "{path:?}");
    }
    let at = |name: &str| folder.join(name);
    let (site, signing) =
        (SiteKey::read(&at("site.key")).unwrap(), SigningKey::read(&at("signing.key")).unwrap());
    let platform = PlatformKey::read(&at("platform.key")).unwrap();
    assert_eq!(VerifyKey::read(&at("signing.pub")).unwrap(), signing.public());
    assert_eq!(PlatformPublic::read(&at("platform.pub")).unwrap().id(), platform.public().id());
    let ends = Ends { site, signing, platform };
    assert!(ends.open(&ends.seal(&ends.header()).bytes).is_ok());

    let again = make_platform_key(folder, "riverside").unwrap_err().to_string();
    assert!(again.contains("not overwritten"), "{again}");
    let other = SiteKey::read(&at("platform.key")).unwrap_err().to_string();
    assert!(other.contains("no such key"), "{other}");
    let secret = std::fs::read_to_string(at("platform.key")).unwrap();
    let secret = secret.lines().last().unwrap().split('"').nth(1).unwrap().to_owned();
    assert!(!other.contains(&secret) && !format!("{:?}", ends.platform).contains(&secret));
    std::fs::set_permissions(at("site.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(SiteKey::read(&at("site.key")).unwrap_err().to_string().contains("chmod 600"));
}

#[test]
fn the_mapping_is_read_and_what_leaves_of_it_has_no_id() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mapping.csv");
    let pseudonymiser = Pseudonymiser::new(&Ends::new().site);
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        mapping::Mapping::read(&path, &pseudonymiser)
    };
    let header = "private_id,classification_id,channel,element,quantity,phase,unit\n";
    let good = format!("{header}DE001,7-PRE-001,p,meter.31,p,,kW\nDE002,7-PRE-001,e,meter.31,energy,,kWh\n");
    let mapping = read(&good).unwrap();
    let pseudonym = mapping.pseudonym("DE001").unwrap();
    assert_eq!(pseudonym, pseudonymiser.pseudonym("7-PRE-001", "p"));
    assert_eq!(mapping.entry(pseudonym).unwrap().private_id, "DE001");
    assert_eq!(mapping.pseudonym("DE003"), None);
    let map = mapping.point_map().unwrap();
    assert!(!map.contains("DE0") && !map.contains("PRE"), "{map}");
    let points = crate::point_map::read(map.as_bytes()).unwrap();
    assert_eq!(intake::IntakeConfig::points(&points).unwrap().len(), 2);

    for (text, words) in [
        (format!("{good}DE001,7-PRE-002,,meter.1,p,,kW\n"), ":4: this private_id stands"),
        (format!("{good}DE003,7-PRE-001,p,meter.1,p,,kW\n"), ":4: this classification_id stands"),
        (format!("{good}DE003,7/PRE,p,meter.1,p,,kW\n"), "classification_id"),
        (format!("{good}DE003,7-PRE-003\n"), "2 fields"),
        ("private_id,classification\n".into(), "no column"),
        ("private_id\n".into(), "classification_id is missing"),
    ] {
        let said = read(&text).unwrap_err().to_string();
        assert!(said.contains(words) && !said.contains("DE00"), "{said}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(mapping::Mapping::read(&path, &pseudonymiser).unwrap_err().to_string().contains("chmod 600"));
    assert_eq!(read("private_id,classification_id\nDE001,7-PRE-001\n").unwrap().point_map(), Err(vec![1]));
}
