//! A file with which a browser is opened, so that the one-time address stands in no command line.

use maud::{DOCTYPE, html};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The file, mode 0600. It is removed on drop.
#[derive(Debug)]
pub struct RedirectFile(NamedTempFile);

impl RedirectFile {
    /// Writes a page that leads to an address.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub fn create(address: &str) -> io::Result<RedirectFile> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let directory = runtime.filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir);
        let mut file = tempfile::Builder::new().prefix("cronctl-web-").suffix(".html").tempfile_in(directory)?;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="referrer" content="no-referrer";
                    meta http-equiv="refresh" content={ "0; url=" (address) };
                    title { "cronwheel" }
                }
                body { p { a href=(address) { "Open cronwheel" } } }
            }
        };
        file.write_all(page.into_string().as_bytes())?;
        file.flush()?;
        Ok(RedirectFile(file))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn only_the_user_can_read_it_and_it_goes_away() {
        let file = RedirectFile::create("http://x.localhost:1/open?token=a&b").unwrap();
        let path = file.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&path).unwrap().contains("url=http://x.localhost:1/open?token=a&amp;b"));
        drop(file);
        assert!(!path.exists());
    }
}
