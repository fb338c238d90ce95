//! Asking a person for a secret: on the terminal itself, without echo, whatever standard input is.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

pub(crate) fn ask(question: &str) -> io::Result<Zeroizing<String>> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    write!(terminal, "{question}: ")?;
    terminal.flush()?;
    let silent = Silence::on(&terminal)?;
    let mut answer = Zeroizing::new(String::with_capacity(256));
    BufReader::with_capacity(1, &terminal).read_line(&mut answer)?;
    drop(silent);
    writeln!(terminal)?;
    let length = answer.trim_end_matches(['\n', '\r']).len();
    answer.truncate(length);
    Ok(answer)
}

/// Echo is off for as long as this lives.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn on(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // If this fails the terminal is gone, and with it the person to tell.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
