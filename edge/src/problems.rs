//! Every problem that an answer may name: what it means, and what to do. `edge explain`, the page `docs/errors.md` and the
//! description at `/openapi.json` all come from this table.

use std::fmt::Write as _;

/// One problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// The stable code.
    pub(crate) code: &'static str,
    /// With which statuses it is answered.
    pub(crate) statuses: &'static [u16],
    /// Whether asking the same again later may help.
    pub(crate) retryable: bool,
    /// What it means.
    pub(crate) words: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

const fn row(
    code: &'static str,
    statuses: &'static [u16],
    words: &'static str,
    remedy: &'static str,
) -> Known {
    Known { code, statuses, retryable: false, words, remedy }
}

const fn later(
    code: &'static str,
    statuses: &'static [u16],
    words: &'static str,
    remedy: &'static str,
) -> Known {
    Known { code, statuses, retryable: true, words, remedy }
}

/// Every problem, in the order of the alphabet.
pub(crate) const PROBLEMS: &[Known] = &[
    row(
        "body-too-large",
        &[413],
        "The body is larger than 64 KiB.",
        "Send fewer or shorter attributes; a csr needs about 1 KiB.",
    ),
    row(
        "body-unreadable",
        &[400, 408],
        "The body of the request did not arrive whole.",
        "Send the request again.",
    ),
    later(
        "busy",
        &[503],
        "More units are asked for than may be in the making at a time; nothing was signed or written.",
        "Ask again after Retry-After. If a line meets this in ordinary work, raise limits.signatures.",
    ),
    row(
        "ca-changed",
        &[409],
        "Another issuing CA has taken over in the meantime.",
        "Look at: edge ca status. Then decide anew.",
    ),
    row(
        "ca-not-requested",
        &[409],
        "A certificate for an issuing CA came, but no request waits for one.",
        "Make a request with: edge ca request, and have that signed.",
    ),
    row(
        "ca-trouble",
        &[500],
        "The issuing CA that was to take over could not be put to work; the one before goes on.",
        "Read the log of the appliance; it names the file or the token.",
    ),
    row(
        "ca-unfit",
        &[422],
        "The certificates that were sent do not make an issuing CA of ours; the detail says why.",
        "Send the issuing CA first, then what has signed it, up to the root.",
    ),
    row(
        "certificate-refused",
        &[422],
        "The certificate would break a rule of the lint; the member rules names it.",
        "Use another id, or change the profile: see [profile.NAME] in the configuration.",
    ),
    row(
        "certificate-revoked",
        &[403],
        "The unit shows a certificate that was revoked: somebody had the cloud keep another one.",
        "Rework the unit: that gives it a new one.",
    ),
    row(
        "certificate-superseded",
        &[403],
        "The unit shows a certificate that was replaced by a newer one.",
        "Ask with the certificate that the unit has now.",
    ),
    row(
        "challenge-invalid",
        &[400, 422],
        "The code that is to be proven is not one of Azure's: hexadecimal digits and nothing else.",
        "Copy the verification code from Azure as it is.",
    ),
    row(
        "clock-before-build",
        &[409],
        "The clock that is to be vouched for shows a time before this program was built.",
        "Set the clock; no reason makes such a time right.",
    ),
    later(
        "clock-unsafe",
        &[503],
        "The clock contradicts what this box has seen, so the dates of a certificate would be wrong. Nothing is issued.",
        "Set the clock or connect a time server: it goes on by itself. If the clock is right: edge clock accept --reason TEXT.",
    ),
    later(
        "cloud-unreachable",
        &[503],
        "The cloud was to be asked what it knows of this box or of a unit, and did not answer.",
        "Try again when it can be reached. A restored box can go on without: edge reconcile --accept-gap REASON --window FROM/UNTIL.",
    ),
    row(
        "courier-key-invalid",
        &[422],
        "What was given as a courier's fingerprint is none.",
        "On the courier's machine run: courier key FILE, and copy the 64 digits that it prints.",
    ),
    row(
        "courier-unknown",
        &[409],
        "No courier is trusted here yet, so nobody could seal a receipt.",
        "On the courier's machine run: courier key FILE, then here: edge courier trust FINGERPRINT.",
    ),
    row(
        "crl-too-long",
        &[503],
        "More certificates of this issuing CA are revoked than a list holds (100,000), and one that leaves some out would be a lie.",
        "Have another issuing CA take over (edge ca rotate): its list begins empty.",
    ),
    later(
        "crl-unavailable",
        &[503],
        "There is no list of revoked certificates of this issuing CA right now: the box was restored and is not reconciled, or the key of a CA that gave way does not open.",
        "Read the log of the appliance; put back the key that it names, or reconcile the box.",
    ),
    row(
        "crl-unknown",
        &[404],
        "No issuing CA of this box is known by what the address ends with.",
        "End it with the first 16 digits of the SHA-256 of the CA's certificate; see: edge ca status.",
    ),
    row(
        "csr-cn-differs",
        &[422],
        "The common name in the csr is not the id of the request.",
        "Make the csr with the id as its CN, or leave one of the two out.",
    ),
    row(
        "csr-cn-required",
        &[400],
        "The csr has no common name, and EST has no other place for the id.",
        "Make the csr with the unit's id: openssl req -new -subj /CN=ID.",
    ),
    row(
        "csr-key-unsupported",
        &[422],
        "The key in the csr is of a kind or size that is not taken.",
        "Make a P-256 key: openssl ecparam -name prime256v1 -genkey.",
    ),
    row(
        "csr-key-weak",
        &[422],
        "The key in the csr is weak; the detail says how.",
        "Make a new key with a current tool: openssl ecparam -name prime256v1 -genkey.",
    ),
    row(
        "csr-malformed",
        &[422],
        "The csr is not one PKCS#10 request in PEM of at most 16 KiB.",
        "Make one with: openssl req -new -key device.key.",
    ),
    row(
        "csr-required",
        &[422],
        "The profile takes no key of the kind that this box makes.",
        "Send a csr with a key of one of the kinds in the detail.",
    ),
    row(
        "csr-signature",
        &[422],
        "The signature of the csr does not fit its key, so nobody has proved to hold the key.",
        "Make the csr again with the device's own key.",
    ),
    row(
        "csr-signature-algorithm",
        &[422],
        "The csr is signed with an algorithm that is not taken.",
        "Sign it with SHA-256 or better: openssl req -new -sha256 -key device.key.",
    ),
    row(
        "csr-subject-differs",
        &[422],
        "The csr of a renewal has another subject than the certificate that is shown.",
        "Make the csr with the subject of the current certificate.",
    ),
    row(
        "csr-wants-ca",
        &[422],
        "The csr asks to be a certificate authority.",
        "Drop basicConstraints and keyCertSign from the request; a unit is never an authority.",
    ),
    row(
        "differs",
        &[409],
        "The unit was issued with another line or other attributes; the member field says which.",
        "Ask with the same values, or use another id.",
    ),
    row("ends-invalid", &[422], "The order would have ended already.", "Choose a later end."),
    row(
        "etag-required",
        &[422],
        "It is to be decided that the cloud's record gives way, without saying which version of it.",
        "Look at the job (edge queue show ID) and send the ETag that it shows.",
    ),
    row(
        "etag-stale",
        &[409],
        "The cloud's record has changed since somebody looked at it.",
        "Look at the job again, and decide on what is there now.",
    ),
    later(
        "evidence-failed",
        &[503],
        "The order is closed, but its evidence could not be written.",
        "Close it again to have it written; the log of the appliance says what was in the way.",
    ),
    row("expired", &[422], "The token would have expired already.", "Choose a later end."),
    row(
        "forbidden",
        &[403],
        "Whoever asks is known, but may not do this: the role or the line is another.",
        "Use a token of a role and line that may; an administrator makes one with: edge token new.",
    ),
    row(
        "foreign-origin",
        &[403],
        "A page of another site asks for the feed.",
        "Open the board from this appliance, by one of listen.names.",
    ),
    row(
        "generations",
        &[409],
        "This box was restored 254 times, and has no serial numbers left.",
        "Make a new box: edge init.",
    ),
    row(
        "id-invalid",
        &[422],
        "The id is not 1 to 64 of the characters a-z 0-9 . _ : -, beginning and ending with a letter or digit.",
        "Correct the id.",
    ),
    row(
        "idempotency-key-required",
        &[400],
        "The request names no unit, so that its repeat could not find it.",
        "Send an Idempotency-Key header, the same one when asking again; or an id.",
    ),
    row(
        "idempotency-key-reused",
        &[422],
        "The Idempotency-Key was used for another request.",
        "Use a fresh key for every unit, and the same one only for a repeat.",
    ),
    row(
        "internal",
        &[500],
        "Something went wrong here; the caller is not at fault.",
        "Look into the log of the appliance, and report it.",
    ),
    row(
        "job-not-held",
        &[409],
        "A job is to be decided that is not held.",
        "Look at it with: edge queue show ID. What waits is told by itself; to stop it first: edge queue hold ID.",
    ),
    row("json-malformed", &[400], "The body is not JSON.", "Send JSON; the detail says where it ends to be."),
    row(
        "json-unexpected",
        &[422],
        "The body is JSON, but not what is expected at this address.",
        "Compare it with /openapi.json; a member that is not known is refused as well.",
    ),
    row(
        "key-already-given",
        &[409],
        "The appliance made the key of this unit and gave it away once; it is not kept. The certificate is in the answer.",
        "If the answer with the key was lost, ask for a rekey.",
    ),
    row(
        "key-encryption-unsupported",
        &[400],
        "The csr wants the made key to be encrypted once more than TLS does.",
        "Leave decryptKeyID and asymmDecryptKeyID out.",
    ),
    row(
        "key-in-use",
        &[409],
        "Another unit has this key already.",
        "Give every unit a key of its own; see that the image of the line carries none.",
    ),
    row(
        "key-unchanged",
        &[409],
        "The unit has, or had, this very key; a new identity needs a new key.",
        "Make a new key on the device, and send a csr for that.",
    ),
    row(
        "label-unknown",
        &[404],
        "The label in the EST address is no line, no profile and no production order of this box.",
        "Use one of the labels in the detail or an order's number, or none with a token for one line.",
    ),
    row(
        "line-required",
        &[400, 422],
        "The request names no line, and the token is good for more than one.",
        "Send \"line\", or use a token for one line.",
    ),
    row(
        "line-unknown",
        &[422],
        "There is no such line.",
        "Use the id of a [[line]] in the configuration, or add one.",
    ),
    row(
        "method-not-allowed",
        &[405],
        "The address does not take this method.",
        "See /openapi.json; Allow says what it takes.",
    ),
    row(
        "name-invalid",
        &[422],
        "A token's name has 1 to 64 letters, digits, '-', '_' and '.'.",
        "Choose another name.",
    ),
    row(
        "name-taken",
        &[409],
        "A token of this name exists or existed.",
        "Choose another name; names are never given twice.",
    ),
    row(
        "no-cloud",
        &[409],
        "No cloud is configured, so there is nothing to compare with.",
        "Configure [cloud]. A restored box can go on without: edge reconcile --accept-gap REASON --window FROM/UNTIL.",
    ),
    row("not-found", &[404], "There is nothing at this address.", "Check the path; see /openapi.json."),
    row("not-json", &[415], "The body does not say that it is JSON.", "Send Content-Type: application/json."),
    row(
        "not-restored",
        &[409],
        "This box was not restored, or is reconciled already.",
        "Nothing is to be done.",
    ),
    row(
        "number-invalid",
        &[422],
        "The number of the order cannot be the name of a file: 1 to 64 letters, digits, '-', '_' and '.', of which the first is a letter or a digit.",
        "Choose another number.",
    ),
    row(
        "order-closed",
        &[409],
        "The order was closed, or has ended; nothing is issued under it any more.",
        "Ask for the number of the present order.",
    ),
    row(
        "order-exists",
        &[409],
        "There is another order of this number, and numbers are never given twice.",
        "Choose another number, or open it exactly as it was opened.",
    ),
    row(
        "order-full",
        &[409],
        "As many units as the order is for were issued under it.",
        "Ask for the number of the next order.",
    ),
    row(
        "order-line",
        &[409],
        "The order is for another line.",
        "Use it on its line, or ask for the order of this one.",
    ),
    row(
        "order-required",
        &[422],
        "This appliance issues only under a production order (orders = \"required\" in the configuration).",
        "Name the order in the request, as order.",
    ),
    row(
        "order-unknown",
        &[404, 422],
        "There is no production order of this number here.",
        "See: edge order ls. Open it with: edge order open.",
    ),
    row(
        "paused",
        &[409],
        "Somebody has paused sending, and nothing is asked of the cloud meanwhile.",
        "Let it go on with: edge queue resume.",
    ),
    row(
        "profile-unknown",
        &[422],
        "There is no profile of this name here.",
        "Use one of the names in the detail; see [profile.NAME] in the configuration.",
    ),
    row(
        "proof-unfit",
        &[422],
        "The certificate that was sent does not prove the possession of the CA's key.",
        "Run edge ca prove with the key of this box's root.",
    ),
    row("quantity-invalid", &[422], "An order is for at least one unit.", "Say how many."),
    row(
        "query-unexpected",
        &[400],
        "The query holds something that the list does not take.",
        "Send after (the next of an earlier answer, as it was) and limit (a number), or neither.",
    ),
    row(
        "reason-required",
        &[422],
        "A reason is missing, or is too long.",
        "Say why in a sentence; it stands in the journal.",
    ),
    row("reason-too-long", &[422], "The reason is longer than 500 characters.", "Say it shorter."),
    row(
        "reason-unknown",
        &[422],
        "A rekey has one reason: the reply was lost.",
        "Send the reason reply-lost; for any other there is rework.",
    ),
    row(
        "receipt-foreign",
        &[409],
        "The receipt is of a bundle of another box.",
        "Bring it to the box that it names.",
    ),
    row(
        "receipt-generation",
        &[409],
        "The receipt is of a bundle that this box made before it was restored. What is told twice is told once, so nothing is lost.",
        "Make another bundle: edge courier out.",
    ),
    row(
        "receipt-stranger",
        &[422],
        "The receipt is sealed by another key than that of the courier that is trusted here.",
        "If that courier is the right one: edge courier trust FINGERPRINT, then make another bundle. Else ask where the file comes from.",
    ),
    row(
        "receipt-superseded",
        &[409],
        "The receipt of a later bundle is in already, and that bundle had everything that still waited.",
        "Nothing; what still waits goes with the next bundle.",
    ),
    row(
        "receipt-tampered",
        &[422],
        "The receipt is not what the courier has sealed: it was changed, or it is cut short.",
        "Copy the receipt again, or run the bundle again: it changes nothing a second time.",
    ),
    row(
        "receipt-unknown",
        &[404],
        "This box has made no bundle of that number.",
        "Make another bundle: edge courier out.",
    ),
    row(
        "receipt-unreadable",
        &[422],
        "The file is no receipt of a courier.",
        "Give the file that courier run has written, not the bundle.",
    ),
    row(
        "receipt-version",
        &[422],
        "A later version of the courier has written the receipt.",
        "Update this appliance, or run the bundle again with the courier of its version.",
    ),
    row(
        "reconcile-required",
        &[503],
        "This box was restored from a backup and does not know yet what it issued after that.",
        "Run: edge reconcile.",
    ),
    row(
        "record-absent",
        &[409],
        "The cloud has no record of the unit, so there is nothing to decide.",
        "Have it made: edge queue retry ID.",
    ),
    row(
        "record-scrapped",
        &[409],
        "The cloud's record of the unit is a tombstone, and stays one.",
        "Give the device another id, or decide that the cloud keeps what it has.",
    ),
    row(
        "rekey-too-late",
        &[409],
        "The unit has been announced, or is held, so the reply was not lost.",
        "Have a supervisor rework it.",
    ),
    row("station-unknown", &[404], "There is no station of this name.", "See: edge station ls."),
    later("stopping", &[503], "The appliance is being stopped.", "Ask again in a moment."),
    later(
        "storage-failed",
        &[503],
        "The disk has failed; nothing was issued. The appliance ends and verifies the disk at its next start.",
        "Call the plant's IT; ask again once the appliance is back.",
    ),
    later(
        "storage-full",
        &[503, 507],
        "There is less free space than storage.floor; nothing new is issued.",
        "Free some space: it goes on by itself.",
    ),
    row(
        "superseded",
        &[503],
        "This box was restored elsewhere and lives on there.",
        "Switch this one off, or restore it anew from a backup of the other one.",
    ),
    row("token-malformed", &[400], "What was sent for pairing is no token.", "Copy the whole address again."),
    row("token-unknown", &[404], "There is no token of this name.", "See: edge token ls."),
    row("too-large", &[413], "The request is larger than a frame of the journal.", "Send fewer attributes."),
    later(
        "too-slow",
        &[408],
        "The request took too long to arrive, or to be answered.",
        "Send it again; a repeat is safe.",
    ),
    row(
        "unauthenticated",
        &[401],
        "There is no token, or it is unknown, revoked or expired.",
        "Send Authorization: Bearer edge_…; an administrator makes one with: edge token new.",
    ),
    later(
        "unit-changed",
        &[409],
        "Somebody else changed the unit at the same time.",
        "Look at the unit, then ask again.",
    ),
    row(
        "unit-exists",
        &[409],
        "The unit has an identity with another key.",
        "Give a unit that was reworked a new identity by rework, which is explicit.",
    ),
    row(
        "unit-lost",
        &[409],
        "A unit of this id was issued before this box was restored from a backup that lacks it.",
        "Use another id.",
    ),
    row(
        "unit-scrapped",
        &[403, 409],
        "The unit was scrapped: its certificates are revoked, and its id is never issued again.",
        "Give the device another id.",
    ),
    row(
        "unit-unknown",
        &[404],
        "No unit of this id was issued here, or it is another line's.",
        "Check the id.",
    ),
    row(
        "websocket-required",
        &[426],
        "The address speaks WebSocket only.",
        "Connect with a WebSocket client, such as: edge watch.",
    ),
    row(
        "window-invalid",
        &[422],
        "The window does not begin where the backup ends, or ends before it begins.",
        "Begin at the end of the backup, and end when the box was lost.",
    ),
];

/// The problem with this code.
pub(crate) fn find(code: &str) -> Option<&'static Known> {
    PROBLEMS.iter().find(|problem| problem.code == code)
}

impl Known {
    /// What a person is told about it.
    pub(crate) fn explain(&self) -> String {
        let Self { code, words, remedy, .. } = self;
        format!("{code} ({})\n{words}\n{remedy}", self.answer())
    }

    /// The statuses and whether to ask again.
    fn answer(&self) -> String {
        let statuses: Vec<_> = self.statuses.iter().map(u16::to_string).collect();
        let again =
            if self.retryable { "asking again may help" } else { "asking the same again does not help" };
        format!("{}; {again}", statuses.join(" or "))
    }
}

/// The page `docs/errors.md`.
pub(crate) fn page() -> String {
    let mut page = "# Problems\n\nEvery answer that is not a success is `application/problem+json` (RFC 9457) with one of \
                    these codes in `code`.\nMade by `edge explain --page`; `edge explain CODE` says the same at a \
                    terminal.\n"
        .to_owned();
    for problem in PROBLEMS {
        let Known { code, words, remedy, .. } = problem;
        // Writing to a string does not fail.
        let _ = write!(page, "\n## {code}\n\n{}.\n\n{words}\n\n**What to do:** {remedy}\n", problem.answer());
    }
    page
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// What is between quotes.
    fn literals(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for line in text.lines() {
            found.extend(line.split('"').skip(1).step_by(2));
        }
        found
    }

    fn is_code(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    }

    /// The code that each problem made in `text` is made with: the first literal of the call, or of the block that
    /// decides between some. A call without a literal has its code from such a block.
    fn codes(text: &str) -> BTreeSet<String> {
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
        let text: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let text = text.join("\n");
        let mut found = BTreeSet::new();
        for call in ["Problem::new(", "Self::new(", "unprocessable(", "bad("] {
            for (at, _) in text.match_indices(call) {
                let arguments = &text[at + call.len()..];
                // The code is the first argument, or the second behind a status.
                let first_two: String = arguments.splitn(3, ',').take(2).collect::<Vec<_>>().join(",");
                found.extend(
                    literals(&first_two).first().filter(|code| is_code(code)).map(|code| (*code).to_owned()),
                );
            }
        }
        for block in ["fn code(&self)", "let code = match"] {
            for (at, _) in text.match_indices(block) {
                let end = text[at..].find("\n    }").map_or(text.len(), |end| at + end);
                found.extend(
                    literals(&text[at..end]).into_iter().filter(|code| is_code(code)).map(str::to_owned),
                );
            }
        }
        found
    }

    fn sources(dir: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.file_name().is_some_and(|name| name != "problems.rs") {
                into.push(fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_code_in_the_source_is_in_the_table_and_the_reverse() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        sources(&root.join("src"), &mut files);
        sources(&root.join("../web/src"), &mut files);
        let made: BTreeSet<_> = files.iter().flat_map(|text| codes(text)).collect();
        let told: BTreeSet<_> = PROBLEMS.iter().map(|problem| problem.code.to_owned()).collect();
        assert_eq!(
            made.difference(&told).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "made, but not in the table"
        );
        assert_eq!(
            told.difference(&made).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "in the table, but not made"
        );
    }

    #[test]
    fn the_search_finds_a_code_however_it_is_made() {
        let sample = "Problem::new(StatusCode::CONFLICT, \"one\", detail)\nunprocessable(\"two\", text)\n\
                      let code = match self {\n A => \"three\",\n};\n    }\n// Problem::new(x, \"four\")";
        let found: Vec<_> = codes(sample).into_iter().collect();
        assert_eq!(found, ["one", "three", "two"]);
    }

    #[test]
    fn the_table_is_in_order_and_every_row_says_what_to_do() {
        assert!(PROBLEMS.is_sorted_by(|a, b| a.code < b.code));
        for problem in PROBLEMS {
            assert!(!problem.statuses.is_empty() && problem.words.ends_with('.'), "{problem:?}");
            assert!(problem.remedy.len() > 10 && problem.remedy.ends_with('.'), "{problem:?}");
        }
        assert!(find("unit-exists").is_some() && find("unheard-of").is_none());
    }

    #[test]
    fn the_page_is_what_the_table_says() {
        let page = include_str!("../../docs/errors.md");
        assert_eq!(page, super::page(), "run: edge explain --page > docs/errors.md");
    }
}
