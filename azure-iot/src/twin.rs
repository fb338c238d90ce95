//! Device twins: the document, its patches, and the limits of the service.
//! <https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins>

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// One half of a twin, with its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TwinCollection {
    /// The properties.
    #[serde(flatten)]
    pub properties: Map<String, Value>,
    /// Counts the changes, from 1.
    #[serde(rename = "$version")]
    pub version: u64,
}

impl Default for TwinCollection {
    fn default() -> Self {
        Self { properties: Map::new(), version: 1 }
    }
}

impl TwinCollection {
    /// Merges a patch and counts it; returns the new version. A `$version` in the patch is not a property.
    pub fn patch(&mut self, mut patch: Map<String, Value>) -> u64 {
        patch.remove("$version");
        merge(&mut self.properties, patch);
        self.version += 1;
        self.version
    }
}

/// What a device sees of its twin: the answer to a twin GET.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    /// What the device shall be.
    pub desired: TwinCollection,
    /// What it says it is.
    pub reported: TwinCollection,
}

/// Merges a patch into a document: objects merge, `null` removes, everything else replaces (RFC 7396).
pub fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            Value::Object(patch) => {
                let slot = target.entry(key).or_insert_with(|| Value::Object(Map::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(target) = slot {
                    merge(target, patch);
                }
            }
            value => {
                target.insert(key, value);
            }
        }
    }
}

/// The parts of a twin that have a limit of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 8 KB.
    Tags,
    /// 32 KB.
    Desired,
    /// 32 KB.
    Reported,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Desired => "properties.desired",
            Self::Reported => "properties.reported",
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Tags => 8 << 10,
            Self::Desired | Self::Reported => 32 << 10,
        }
    }
}

/// Which limit a document breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {rule}")]
pub struct TwinLimit {
    /// Where in the document.
    pub path: String,
    /// What the service demands.
    pub rule: &'static str,
}

const DEPTH: usize = 10;
const KEY: usize = 1 << 10;
const TEXT: usize = 4 << 10;
const INTEGER: u64 = 4_503_599_627_370_496;

/// Checks one part of a twin against the limits of the service.
pub fn check(part: Part, document: &Map<String, Value>) -> Result<(), TwinLimit> {
    let path = part.name();
    if serde_json::to_vec(document).map_or(usize::MAX, |json| json.len()) > part.most() {
        let rule = if part == Part::Tags { "at most 8 KB" } else { "at most 32 KB" };
        return Err(TwinLimit { path: path.to_owned(), rule });
    }
    check_object(path, document, 1)
}

fn check_object(path: &str, object: &Map<String, Value>, depth: usize) -> Result<(), TwinLimit> {
    let broken = |path: &str, rule| Err(TwinLimit { path: path.to_owned(), rule });
    if depth > DEPTH {
        return broken(path, "objects may be nested at most 10 deep");
    }
    for (key, value) in object {
        let path = format!("{path}.{key}");
        if key.is_empty() || key.len() > KEY {
            return broken(&path, "a name has 1 to 1024 bytes");
        }
        if key.chars().any(|c| c.is_control() || matches!(c, '.' | '$' | ' ')) {
            return broken(&path, "a name contains no '.', no '$', no blank and no control character");
        }
        match value {
            Value::Object(object) => check_object(&path, object, depth + 1)?,
            Value::String(text) if text.len() > TEXT => return broken(&path, "a text has at most 4 KB"),
            Value::Number(number) => {
                let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
                if size.is_some_and(|size| size > INTEGER) {
                    return broken(&path, "an integer lies within ±4503599627370496");
                }
            }
            Value::Array(_) => return broken(&path, "use an object instead of an array"),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("an object") };
        object
    }

    #[test]
    fn patches_merge_as_rfc_7396_says() {
        let check = |target: Value, patch: Value, expected: Value| {
            let mut target = object(target);
            merge(&mut target, object(patch));
            assert_eq!(Value::Object(target), expected);
        };
        check(json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" }));
        check(json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" }));
        check(json!({ "a": "b", "b": 1 }), json!({ "a": null }), json!({ "b": 1 }));
        check(
            json!({ "a": { "b": "c" } }),
            json!({ "a": { "b": "d", "c": null } }),
            json!({ "a": { "b": "d" } }),
        );
        check(json!({ "a": [1] }), json!({ "a": { "b": null, "c": 1 } }), json!({ "a": { "c": 1 } }));
        check(json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 }));
    }

    #[test]
    fn a_collection_counts_its_patches() {
        let mut reported = TwinCollection::default();
        assert_eq!(reported.patch(object(json!({ "a": 1, "$version": 9 }))), 2);
        assert_eq!(json!(reported), json!({ "a": 1, "$version": 2 }));
    }

    #[test]
    fn every_limit_is_kept_and_named_with_its_place() {
        let broken = |document: Value, expected: &str| {
            let limit = check(Part::Desired, &object(document)).expect_err("a limit");
            assert!(limit.to_string().contains(expected), "{limit}");
        };
        assert_eq!(
            check(Part::Tags, &object(json!({ "site": { "line": 1, "name": "x", "on": true } }))),
            Ok(())
        );
        broken(json!({ "a.b": 1 }), "properties.desired.a.b: a name contains no '.'");
        broken(json!({ "a": { "$b": 1 } }), "properties.desired.a.$b");
        broken(json!({ "a": [1] }), "instead of an array");
        broken(json!({ "a": "x".repeat(4097) }), "4 KB");
        broken(json!({ "a": 4_503_599_627_370_497_u64 }), "integer");
        broken(json!({ "a": -4_503_599_627_370_497_i64 }), "integer");
        let wide: Map<_, _> = (0..9000).map(|i| (format!("k{i}"), json!(1))).collect();
        broken(Value::Object(wide), "32 KB");
        let deep = (0..11).fold(json!(1), |inner, _| json!({ "a": inner }));
        broken(deep, "10 deep");
    }
}
