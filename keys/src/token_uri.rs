//! Where a key is in a PKCS#11 token, as a `pkcs11:` URI (RFC 7512).

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use percent_encoding::percent_decode_str;

/// A `pkcs11:` URI that names a private key: `pkcs11:token=plant;object=issuing?module-path=/usr/lib/…&pin-source=/etc/…`.
///
/// Every attribute of a token that it has must fit; the PIN itself never stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUri {
    pub(crate) token: String,
    pub(crate) serial: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) object: String,
    pub(crate) id: Option<Vec<u8>>,
    module: Option<PathBuf>,
    pin_source: Option<PathBuf>,
}

/// A URI that names no key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}; write it as pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE (RFC 7512)")]
pub struct TokenUriError(String);

impl TokenUri {
    /// The library that speaks to the token, if the URI says.
    #[must_use]
    pub fn module(&self) -> Option<&Path> {
        self.module.as_deref()
    }

    /// The file with the PIN, if the URI says.
    #[must_use]
    pub fn pin_source(&self) -> Option<&Path> {
        self.pin_source.as_deref()
    }
}

impl FromStr for TokenUri {
    type Err = TokenUriError;

    fn from_str(text: &str) -> Result<Self, TokenUriError> {
        let error = |what: String| TokenUriError(what);
        let rest = text
            .strip_prefix("pkcs11:")
            .ok_or_else(|| error(format!("'{text}' does not begin with pkcs11:")))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut seen = Vec::new();
        let mut next = |pair: &'_ str| {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| error(format!("'{pair}' is no NAME=VALUE")))?;
            if seen.contains(&name.to_owned()) {
                return Err(error(format!("'{name}' is there twice")));
            }
            seen.push(name.to_owned());
            Ok((name.to_owned(), percent_decode_str(value).collect::<Vec<u8>>()))
        };
        let (mut token, mut object, mut id) = (None, None, None);
        let (mut serial, mut manufacturer, mut model) = (None, None, None);
        for pair in path.split(';').filter(|pair| !pair.is_empty()) {
            let (name, value) = next(pair)?;
            match name.as_str() {
                "token" => token = Some(words(&name, value)?),
                "object" => object = Some(words(&name, value)?),
                "id" => id = Some(value),
                "serial" => serial = Some(words(&name, value)?),
                "manufacturer" => manufacturer = Some(words(&name, value)?),
                "model" => model = Some(words(&name, value)?),
                "type" if value == b"private" => {}
                "type" => return Err(error("type is not private".to_owned())),
                // RFC 7512 2.3: a URI with an attribute that is not understood fits nothing.
                _ => return Err(error(format!("'{name}' is not understood here"))),
            }
        }
        let (mut module, mut pin_source) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = next(pair)?;
            match name.as_str() {
                "module-path" => module = Some(PathBuf::from(words(&name, value)?)),
                "pin-source" => pin_source = Some(file(&words(&name, value)?)?),
                "pin-value" => {
                    return Err(error(
                        "the PIN does not belong into the URI; put it into a file and name that as pin-source"
                            .to_owned(),
                    ));
                }
                _ => return Err(error(format!("'{name}' is not understood here"))),
            }
        }
        Ok(Self {
            token: token.ok_or_else(|| error("'token' is missing".to_owned()))?,
            object: object.ok_or_else(|| error("'object' is missing".to_owned()))?,
            serial,
            manufacturer,
            model,
            id,
            module,
            pin_source,
        })
    }
}

impl fmt::Display for TokenUri {
    /// Says which key, for people: `token 'plant', object 'issuing'`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token '{}', object '{}'", self.token, self.object)
    }
}

fn words(name: &str, value: Vec<u8>) -> Result<String, TokenUriError> {
    let text = String::from_utf8(value).map_err(|_| TokenUriError(format!("'{name}' is not UTF-8")))?;
    if text.is_empty() { Err(TokenUriError(format!("'{name}' is empty"))) } else { Ok(text) }
}

/// A `pin-source` is a file here: as a path, or as a `file:` URI.
fn file(value: &str) -> Result<PathBuf, TokenUriError> {
    let path = value.strip_prefix("file://").or_else(|| value.strip_prefix("file:")).unwrap_or(value);
    if path.starts_with('/') {
        Ok(PathBuf::from(path))
    } else {
        Err(TokenUriError(format!("pin-source '{value}' is not the whole path of a file")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_token_object_module_and_where_the_pin_is() {
        let uri: TokenUri = "pkcs11:token=hall%202;object=issuing;type=private;serial=4a;id=%01%ff\
                             ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/edge/pin"
            .parse()
            .unwrap();
        assert_eq!((uri.token.as_str(), uri.object.as_str()), ("hall 2", "issuing"));
        assert_eq!((uri.serial.as_deref(), uri.id.as_deref()), (Some("4a"), Some(&[1, 255][..])));
        assert_eq!(uri.module(), Some(Path::new("/usr/lib/softhsm/libsofthsm2.so")));
        assert_eq!(uri.pin_source(), Some(Path::new("/etc/edge/pin")));
    }

    #[test]
    fn what_names_no_key_is_refused_with_the_reason() {
        for (text, expected) in [
            ("file:/etc/key", "does not begin with pkcs11:"),
            ("pkcs11:token=a", "'object' is missing"),
            ("pkcs11:object=a", "'token' is missing"),
            ("pkcs11:token=a;object=", "'object' is empty"),
            ("pkcs11:token=a;object=b;token=c", "'token' is there twice"),
            ("pkcs11:token=a;object=b;type=cert", "type is not private"),
            ("pkcs11:token=a;object=b;slot-id=0", "'slot-id' is not understood"),
            ("pkcs11:token;object=b", "'token' is no NAME=VALUE"),
            ("pkcs11:token=%ff;object=b", "'token' is not UTF-8"),
            ("pkcs11:token=a;object=b?pin-value=1234", "the PIN does not belong into the URI"),
            ("pkcs11:token=a;object=b?pin-source=%7c/bin/pin", "not the whole path of a file"),
        ] {
            let refused = text.parse::<TokenUri>().unwrap_err().to_string();
            assert!(refused.contains(expected) && refused.contains("RFC 7512"), "{text}: {refused}");
        }
        let refused = "pkcs11:token=a;object=b?pin-value=1234".parse::<TokenUri>().unwrap_err();
        assert!(!refused.to_string().contains("1234"), "a PIN is never repeated");
    }
}
