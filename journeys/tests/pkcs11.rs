//! The issuing CA's key in a token. Drives: SoftHSM2, openssl.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeInfo, AttributeType, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use journeys::{
    floor::Floor,
    programs,
    softhsm::{PIN, TOKEN, alone},
    tools::{Tool, find},
};
use keys::{Passphrase, SigningKey, TokenError, TokenKey, TokenUri};
use serde_json::json;

/// The URI of a key in the token.
fn uri(module: &Path, object: &str, pin: Option<&Path>) -> String {
    let pin = pin.map(|pin| format!("&pin-source={}", pin.display())).unwrap_or_default();
    format!("pkcs11:token={TOKEN};object={object}?module-path={}{pin}", module.display())
}

fn pin() -> Result<Passphrase> {
    Ok(Passphrase::new(PIN.to_owned())?)
}

#[test]
fn a_key_in_a_token_signs_and_cannot_be_taken_out() -> Result<()> {
    let Some(module) = find(Tool::SoftHsm) else { return Ok(()) };
    if alone("a_key_in_a_token_signs_and_cannot_be_taken_out")?.is_none() {
        return Ok(());
    }
    let place: TokenUri = uri(&module, "issuing", None).parse()?;
    let made = TokenKey::create(place.clone(), &module, pin()?)?;
    let other = TokenKey::create(place.clone(), &module, pin()?)?;
    ensure!(made.public_key_der() != other.public_key_der());
    drop(other);
    // Of two keys of one name, the one that belongs to the certificate is opened.
    let key = TokenKey::open(place.clone(), &module, pin()?, made.public_key_der())?;
    ensure!(key.public_key_der() == made.public_key_der());
    let verifies = |message: &[u8], signature: &[u8]| {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_point()).verify(message, signature)
    };
    // Enough signatures to meet integers of every length.
    for n in 0..200_u32 {
        let message = n.to_be_bytes();
        let signature = key.sign(&message)?;
        ensure!(verifies(&message, &signature).is_ok(), "signature {n}");
    }
    // What a token does that was taken out and put back: every session is logged out.
    let own = session_beside(&module)?;
    own.logout()?;
    drop(own);
    ensure!(verifies(b"again", &key.sign(b"again")?).is_ok());

    let own = session_beside(&module)?;
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(b"issuing".to_vec())];
    let found = own.find_objects(&wanted)?;
    ensure!(found.len() == 2, "{found:?}");
    for object in found {
        let value = own.get_attribute_info(object, &[AttributeType::Value])?;
        ensure!(matches!(value[..], [AttributeInfo::Sensitive]), "CKA_VALUE: {value:?}");
        ensure!(own.get_attributes(object, &[AttributeType::Value])?.is_empty(), "CKA_VALUE is told");
        let guards = [AttributeType::Extractable, AttributeType::Sensitive, AttributeType::NeverExtractable];
        let guards = own.get_attributes(object, &guards)?;
        for guard in
            [Attribute::Extractable(false), Attribute::Sensitive(true), Attribute::NeverExtractable(true)]
        {
            ensure!(guards.contains(&guard), "{guards:?}");
        }
    }

    // A key that somebody made carelessly is not taken.
    let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let label = Attribute::Label(b"loose".to_vec());
    let id = Attribute::Id(vec![9]);
    let public = [Attribute::Token(true), Attribute::EcParams(p256), label.clone(), id.clone()];
    let private =
        [Attribute::Token(true), Attribute::Sensitive(false), Attribute::Extractable(true), label, id];
    let (public, _) = own.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
    let point = own.get_attributes(public, &[AttributeType::EcPoint])?;
    let Some(Attribute::EcPoint(point)) = point.first() else { anyhow::bail!("no point") };
    // SubjectPublicKeyInfo of P-256: the head is the one of the other key, the end is the point.
    let mut spki = made.public_key_der().to_vec();
    let end = spki.len() - 65;
    spki.truncate(end);
    spki.extend(&point[2..]);
    let loose: TokenUri = uri(&module, "loose", None).parse()?;
    let refused = TokenKey::open(loose, &module, pin()?, &spki).err().context("a loose key was taken")?;
    ensure!(matches!(refused, TokenError::Extractable { .. }), "{refused}");
    let refused = TokenKey::open(place, &module, pin()?, &spki).err().context("another key was taken")?;
    ensure!(matches!(refused, TokenError::OtherKey { .. }), "{refused}");
    Ok(())
}

/// A session beside the one of the key, in the same login.
fn session_beside(module: &Path) -> Result<Session> {
    let loaded = Pkcs11::new(module)?;
    let _ = loaded.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slots = loaded.get_slots_with_initialized_token()?;
    let session = loaded.open_rw_session(*slots.first().context("no token")?)?;
    // Logged in already, as a rule: sessions of one process share that.
    let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    Ok(session)
}

/// What openssl says of a unit's certificate.
fn verified(root: &Path, unit: &serde_json::Value, dir: &Path) -> Result<()> {
    let file = |name: &str| -> Result<PathBuf> {
        let path = dir.join(format!("verify-{name}.pem"));
        fs::write(&path, unit[name].as_str().context("no PEM")?)?;
        Ok(path)
    };
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(root)
        .arg("-untrusted")
        .arg(file("chain")?)
        .arg(file("certificate")?)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_with_its_key_in_a_token_issues_restarts_and_rotates_and_says_what_is_missing() -> Result<()> {
    let Some(module) = find(Tool::SoftHsm) else { return Ok(()) };
    let name = "a_box_with_its_key_in_a_token_issues_restarts_and_rotates_and_says_what_is_missing";
    let Some(dir) = alone(name)? else { return Ok(()) };
    let pin_file = dir.join("pin");
    keys::write_private(&pin_file, PIN.as_bytes())?;
    let good = uri(&module, "issuing", Some(&pin_file));
    let floor = Floor::init_with(&dir, &["--key", &good], &format!("key = {good:?}\n"))?;
    ensure!(!floor.state().join("issuing.key").exists(), "the key is in a file");
    let root = floor.state().join("root.pem");
    let issue = async |station: &str, id: &str| -> Result<serde_json::Value> {
        let (status, unit) = floor.issue(station, &json!({ "id": id, "line": "L1" })).await?;
        ensure!(status == 201, "{unit}");
        verified(&root, &unit, &dir)?;
        Ok(unit)
    };
    let daemon = floor.start()?;
    let station = floor.token("station", "bench")?;
    let first = issue(&station, "gw-1").await?;
    ensure!(daemon.stop()?.success());
    let daemon = floor.start()?;
    issue(&station, "gw-2").await?;
    let config = dir.join("edge.toml");
    let config_text = config.to_str().context("a path that is no text")?;
    let said = floor.edge(&["ca", "rotate", "--config", config_text])?;
    ensure!(said.contains("issues now"), "{said}");
    let after = issue(&station, "gw-3").await?;
    ensure!(after["chain"] != first["chain"]);
    ensure!(daemon.stop()?.success());
    let daemon = floor.start()?;
    issue(&station, "gw-4").await?;
    let (_, still) = floor.get(&station, "/v1/units/gw-1").await?;
    ensure!(still["chain"] == first["chain"]);
    ensure!(daemon.stop()?.success());
    ensure!(!floor.state().join("issuing.key").exists(), "the key is in a file");

    // What is missing is said, by name.
    let text = fs::read_to_string(&config)?;
    let wrong_pin = dir.join("wrong-pin");
    keys::write_private(&wrong_pin, b"000000")?;
    let no_module = Path::new("/nowhere/module.so");
    for (key, expected) in [
        (uri(&module, "issuing", None), "the PIN of token"),
        (uri(&module, "issuing", Some(&wrong_pin)), "refuses the PIN (it is wrong)"),
        (uri(&module, "issuing", Some(&dir.join("absent"))), "absent"),
        (uri(&module, "other", Some(&pin_file)), "no private EC key 'other'"),
        (good.replace(TOKEN, "other"), "no token 'other' is there, only 'plant'"),
        (uri(no_module, "issuing", Some(&pin_file)), "/nowhere/module.so cannot be used as a PKCS#11 module"),
        (good.replace(&format!("module-path={}&", module.display()), ""), "no PKCS#11 module is named"),
    ] {
        fs::write(&config, text.replace(&good, &key))?;
        let args = ["run", "--config", config_text];
        let output = Command::new(programs::path("edge")?).args(args).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && error.contains(expected), "{key}\nexpected {expected}\n{error}");
        ensure!(!error.contains(PIN), "the PIN is told: {error}");
    }
    // Module and PIN may stand beside the URI as well.
    let bare = format!("pkcs11:token={TOKEN};object=issuing");
    let beside = format!("key = {bare:?}\nmodule = {module:?}\npin = {{ file = {pin_file:?} }}");
    fs::write(&config, text.replace(&format!("key = {good:?}"), &beside))?;
    let daemon = floor.start()?;
    issue(&station, "gw-5").await?;
    ensure!(daemon.stop()?.success());
    Ok(())
}
