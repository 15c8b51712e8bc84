//! What is refused, and in which words.

use crate::{CA, found, sink, whole};
use eventsink_crds::sink::reason;
use eventsink_operator::reconcile::validate::{Invalid, validate};
use serde_json::json;

fn refusal(secrets: &[(&str, &str, &str)]) -> Invalid {
    validate(&sink(&json!({})), &found(secrets), "image").expect_err("it is refused")
}

#[test]
fn a_whole_sink_is_taken_and_its_image_is_its_own_or_the_operators() {
    assert_eq!(validate(&sink(&json!({})), &whole(), "image").expect("it fits").image, "image");
    let own = sink(&json!({"worker": {"image": "mine:1"}}));
    assert_eq!(validate(&own, &whole(), "image").expect("it fits").image, "mine:1");
}

#[test]
fn what_is_wrong_with_a_secret_names_it_and_its_key() {
    let user = ("login", "username", "ann");
    let cases = [
        (vec![], reason::SECRET_NOT_FOUND, "the Secret login, which is not in this namespace"),
        (vec![user], reason::SECRET_KEY_MISSING, "the Secret login has no key password"),
        (vec![user, ("login", "password", "  \n")], reason::SECRET_KEY_MALFORMED, "login is empty"),
        (vec![user, ("login", "password", "a\nb")], reason::SECRET_KEY_MALFORMED, "has more than one line"),
        (vec![user, ("login", "password", " a")], reason::SECRET_KEY_MALFORMED, "begins with a space"),
    ];
    for (secrets, reason, words) in cases {
        let refusal = refusal(&secrets);
        assert_eq!(refusal.reason(), reason, "{refusal}");
        let text = refusal.to_string();
        assert!(text.contains(words) && text.contains("spec.kafka.security.sasl.secretRef"), "{text}");
    }
}

#[test]
fn a_certificate_must_be_whole_pem() {
    let with_ca = |ca: &str| {
        let secrets = [("login", "username", "ann"), ("login", "password", "word"), ("ca", "ca.crt", ca)];
        validate(&sink(&json!({})), &found(&secrets), "image")
    };
    let two = format!("# root\n{CA}\n{CA}");
    for good in [CA, two.as_str(), &CA.replace('\n', "\r\n")] {
        assert_eq!(with_ca(good).map(drop), Ok(()), "{good:?}");
    }
    let cut = CA.replace("-----END CERTIFICATE-----", "");
    let garbled = CA.replace("MIIB", "not base64!");
    let key = CA.replace("CERTIFICATE", "PRIVATE KEY");
    let half = format!("{CA}{cut}");
    for bad in ["MIIB", cut.as_str(), &garbled, &key, &half, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"] {
        let refusal = with_ca(bad).map(drop).expect_err(bad);
        assert_eq!(refusal.reason(), reason::SECRET_KEY_MALFORMED, "{bad:?}");
        assert!(refusal.to_string().contains("key ca.crt of the Secret ca"), "{refusal}");
    }
}

#[test]
fn no_refusal_tells_a_value() {
    for password in ["CANARY\nCANARY", " CANARY"] {
        let refusal = refusal(&[("login", "username", "ann"), ("login", "password", password)]);
        assert!(!format!("{refusal} {refusal:?}").contains("CANARY"), "{refusal:?}");
    }
}

#[test]
fn every_field_that_does_not_fit_is_named_at_once() {
    let spec = sink(&json!({"kafka": {"options": {"group.id": "x", "no.such.option": "y"}}}));
    let refusal = validate(&spec, &whole(), "image").expect_err("it is refused");
    let text = refusal.to_string();
    assert_eq!(refusal.reason(), reason::INVALID_SPEC);
    for path in ["spec.kafka.options.group.id", "spec.kafka.options.no.such.option"] {
        assert!(text.contains(path), "{text}");
    }
}

#[test]
fn hashes_follow_contents_and_nothing_else() {
    let valid = |secrets: &[(&str, &str, &str)], change| {
        let valid = validate(&sink(&change), &found(secrets), "image").expect("it fits");
        (valid.settings_hash, valid.credentials_hash)
    };
    let (user, ca) = (("login", "username", "ann"), ("ca", "ca.crt", CA));
    let first = valid(&[user, ("login", "password", "a"), ca], json!({}));
    assert_eq!(first, valid(&[user, ("login", "password", "a"), ca, ("login", "other", "b")], json!({})));
    let password = valid(&[user, ("login", "password", "b"), ca], json!({}));
    assert!(password.0 == first.0 && password.1 != first.1);
    let format = valid(&[user, ("login", "password", "a"), ca], json!({"file": {"format": "Avro"}}));
    assert!(format.0 != first.0 && format.1 == first.1);
    let replicas = valid(&[user, ("login", "password", "a"), ca], json!({"replicas": 4, "suspend": true}));
    assert_eq!(replicas, first, "the number of workers is no reason to replace them");
}

#[test]
fn a_claim_is_for_many_workers_only_when_many_nodes_may_write_to_it() {
    let files = sink(&json!({"storage": {"s3": null, "filesystem": {"claimName": "files"}}}));
    let alone = |modes: &[&str]| {
        let mut found = whole();
        found.claim = Some(modes.iter().map(|mode| (*mode).to_owned()).collect());
        validate(&files, &found, "image").map(|valid| valid.alone)
    };
    assert_eq!(alone(&["ReadWriteOnce", "ReadWriteMany"]), Ok(false));
    assert_eq!(alone(&["ReadWriteOnce"]), Ok(true));
    assert_eq!(alone(&["ReadWriteOncePod"]), Ok(true));
    let missing = validate(&files, &whole(), "image").expect_err("there is no claim");
    assert_eq!(missing.reason(), reason::CLAIM_NOT_FOUND);
}
