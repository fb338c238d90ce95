//! What a machine manufacturer writes about a device: JSON in the form of an initial twin, checked before it is saved.

use azure_iot::enrollment::{InitialProperties, InitialTwin};
use azure_iot::twin::{self, Part, TwinLimit};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What stands in the field at first.
pub const EXAMPLE: &str = "{\n  \"tags\": {},\n  \"properties\": {\n    \"desired\": {}\n  }\n}";

/// Why a text is not metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// The parser stopped.
    #[error("line {line}, column {column}: {what}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the parser expected or found.
        what: String,
    },
    /// It is JSON, but more than a twin takes.
    #[error(transparent)]
    Limit(#[from] TwinLimit),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"tags\" and \"properties\"")]
struct Document {
    #[serde(default)]
    tags: Map<String, Value>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "an object with \"desired\"")]
struct Properties {
    #[serde(default)]
    desired: Map<String, Value>,
}

/// Reads `{"tags":{…},"properties":{"desired":{…}}}`. An empty text means that there is nothing to say.
///
/// # Errors
/// With the line and column where it stops being JSON of that form, or the path of what IoT Hub would not take.
pub fn parse(text: &str) -> Result<InitialTwin, InvalidMetadata> {
    if text.trim().is_empty() {
        return Ok(InitialTwin::default());
    }
    let document: Document = serde_json::from_str(text).map_err(|error| InvalidMetadata::Json {
        line: error.line(),
        column: error.column(),
        what: words(&error),
    })?;
    objects(text)?;
    twin::check(Part::Tags, &document.tags)?;
    twin::check(Part::Desired, &document.properties.desired)?;
    let some = |map: Map<String, Value>| (!map.is_empty()).then_some(map);
    let desired = some(document.properties.desired);
    Ok(InitialTwin {
        tags: some(document.tags),
        properties: desired.map(|desired| InitialProperties { desired: Some(desired) }),
    })
}

/// A list would pass for an object whose fields come in order; here it must not.
fn objects(text: &str) -> Result<(), TwinLimit> {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let object = |path: &str, rule, found: Option<&Value>| {
        let fits = found.is_none_or(Value::is_object);
        if fits { Ok(()) } else { Err(TwinLimit { path: path.to_owned(), rule }) }
    };
    object("all of it", "an object with \"tags\" and \"properties\"", Some(&value))?;
    object("properties", "an object with \"desired\"", value.get("properties"))
}

/// The text of a stored twin, for the field of a form.
#[must_use]
pub fn text(twin: &InitialTwin) -> String {
    serde_json::to_string_pretty(twin).unwrap_or_default()
}

/// The parser's words without the place, which is said once.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_and_desired_properties_are_taken_as_they_are() {
        let twin = parse(r#"{"tags":{"site":"Ulm"},"properties":{"desired":{"interval":5}}}"#).unwrap();
        assert_eq!(json!(twin), json!({"tags":{"site":"Ulm"},"properties":{"desired":{"interval":5}}}));
        assert_eq!(parse(&text(&twin)), Ok(twin));
    }

    #[test]
    fn nothing_to_say_says_nothing() {
        for nothing in ["", "  \n", "{}", EXAMPLE] {
            assert_eq!(parse(nothing), Ok(InitialTwin::default()), "{nothing:?}");
        }
    }

    #[test]
    fn a_mistake_is_found_at_its_line_and_column() {
        let check = |text: &str, place: (usize, usize), expected: &str| match parse(text) {
            Err(InvalidMetadata::Json { line, column, what }) => {
                assert_eq!((line, column), place, "{text}: {what}");
                assert!(what.contains(expected), "{what}");
            }
            other => panic!("{text}: {other:?}"),
        };
        check("{\n  \"tags\": {\n    \"a\": 1,\n  }\n}", (4, 3), "trailing comma");
        check("{\"tags\": {}", (1, 11), "EOF");
        check("{\n \"tag\": {}\n}", (2, 6), "unknown field `tag`");
        check("{\"properties\":{\"reported\":{}}}", (1, 25), "unknown field `reported`");
        check("5", (1, 1), "an object");
        check("{\"tags\": 5}", (1, 10), "map");
    }

    #[test]
    fn what_the_hub_would_not_take_is_refused_with_its_path() {
        let refused = parse(r#"{"tags":{"a.b":1}}"#).unwrap_err().to_string();
        assert!(refused.starts_with("tags.a.b: "), "{refused}");
        for list in ["[]", r#"{"properties":[]}"#] {
            assert!(parse(list).unwrap_err().to_string().contains("an object with"), "{list}");
        }
        let refused = parse(r#"{"properties":{"desired":{"list":[1]}}}"#).unwrap_err().to_string();
        assert!(refused.starts_with("properties.desired.list: "), "{refused}");
    }
}
