//! A page of Markdown: its fenced blocks, headings and links.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    path::{Path, PathBuf},
};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A file of the repository, as Markdown.
#[derive(Debug)]
pub(super) struct Page {
    /// Below the top folder of the repository, for example `docs/tour.md`.
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) blocks: Vec<Block>,
    /// Lines of code blocks that are only indented.
    pub(super) indented: Vec<usize>,
    /// Fragments that links may end in.
    pub(super) anchors: HashSet<String>,
    /// Targets of links, with their lines.
    pub(super) links: Vec<(usize, String)>,
    /// Text of each cell of each table row, rows in order.
    pub(super) rows: Vec<Row>,
}

/// A row of a table.
#[derive(Debug)]
pub(super) struct Row {
    /// Anchor of the heading above it.
    pub(super) section: String,
    /// Text of the cells. Code keeps its backticks.
    pub(super) cells: Vec<String>,
}

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// Line of its first line of content, from 1.
    pub(super) line: usize,
    /// First word behind the fence, for example `console`.
    pub(super) language: String,
    /// Second word behind the fence: the file that holds this block.
    pub(super) file: Option<String>,
    pub(super) text: String,
    /// Where `text` is in the page.
    pub(super) range: Range<usize>,
}

impl Block {
    pub(super) fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// The top folder of the repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page whose blocks are tests: README.md and all pages of docs/, in path order.
pub(super) fn pages() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(root().join(&folder)).unwrap().map(Result::unwrap) {
            let path = folder.join(item.file_name());
            if item.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(Page::read).collect()
}

impl Page {
    /// Reads a page; `path` is below the top folder.
    pub(super) fn read(path: impl AsRef<Path>) -> Self {
        let text = std::fs::read_to_string(root().join(path.as_ref())).unwrap();
        Self::parse(path.as_ref(), text)
    }

    pub(super) fn parse(path: &Path, text: String) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            text: String::new(),
            blocks: Vec::new(),
            indented: Vec::new(),
            anchors: HashSet::new(),
            links: Vec::new(),
            rows: Vec::new(),
        };
        Reader { page: &mut page, text: &text, slugs: HashMap::new(), section: String::new() }.read();
        page.text = text;
        page
    }
}

/// Walks through a page once.
struct Reader<'a> {
    page: &'a mut Page,
    text: &'a str,
    /// How often each anchor was used.
    slugs: HashMap<String, usize>,
    section: String,
}

impl Reader<'_> {
    fn read(mut self) {
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
        let text = self.text;
        let mut events = Parser::new_ext(text, options).into_offset_iter();
        while let Some((event, range)) = events.next() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                    let line = self.line_of(range.start);
                    self.page.indented.push(line);
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    let content = content_of(&mut events);
                    self.add_block(&info, content.unwrap_or(range.end..range.end));
                }
                Event::Start(Tag::Heading { .. }) => {
                    let title = self.text_until(&mut events, TagEnd::is_heading);
                    self.add_heading(&title);
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    self.add_link(range.start, &dest_url);
                }
                Event::Start(Tag::TableRow) => {
                    self.page.rows.push(Row { section: self.section.clone(), cells: Vec::new() });
                }
                // Heads are no rows.
                Event::Start(Tag::TableHead) => {
                    self.text_until(&mut events, |end| matches!(end, TagEnd::TableHead));
                }
                Event::Start(Tag::TableCell) => {
                    let cell = self.text_until(&mut events, |end| matches!(end, TagEnd::TableCell));
                    if let Some(row) = self.page.rows.last_mut() {
                        row.cells.push(cell);
                    }
                }
                _ => {}
            }
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    fn add_block(&mut self, info: &str, range: Range<usize>) {
        let mut words = info.split_whitespace();
        self.page.blocks.push(Block {
            line: self.line_of(range.start),
            language: words.next().unwrap_or_default().to_owned(),
            file: words.next().map(str::to_owned),
            text: self.text[range.clone()].to_owned(),
            range,
        });
    }

    fn add_heading(&mut self, title: &str) {
        let slug = slug_of(title);
        let used = self.slugs.entry(slug.clone()).or_default();
        self.section = if *used == 0 { slug.clone() } else { format!("{slug}-{used}") };
        *used += 1;
        self.page.anchors.insert(self.section.clone());
    }

    fn add_link(&mut self, offset: usize, target: &str) {
        let line = self.line_of(offset);
        self.page.links.push((line, target.to_owned()));
    }

    /// The text up to the end of an element. Links in it are taken note of.
    fn text_until<'b>(
        &mut self,
        events: &mut impl Iterator<Item = (Event<'b>, Range<usize>)>,
        ends: impl Fn(&TagEnd) -> bool,
    ) -> String {
        let mut text = String::new();
        for (event, range) in events {
            match event {
                Event::End(end) if ends(&end) => break,
                Event::Text(part) => text.push_str(&part),
                Event::Code(part) => text.push_str(&format!("`{part}`")),
                Event::Start(Tag::Link { dest_url, .. }) => self.add_link(range.start, &dest_url),
                _ => {}
            }
        }
        text
    }
}

trait HeadingEnd {
    fn is_heading(&self) -> bool;
}

impl HeadingEnd for TagEnd {
    fn is_heading(&self) -> bool {
        matches!(self, TagEnd::Heading(_))
    }
}

/// The place of a fenced block's content; none if it is empty.
fn content_of<'b>(events: &mut impl Iterator<Item = (Event<'b>, Range<usize>)>) -> Option<Range<usize>> {
    let mut content: Option<Range<usize>> = None;
    for (event, range) in events {
        match event {
            Event::Text(_) => content = Some(content.map_or(range.start, |so_far| so_far.start)..range.end),
            _ => break,
        }
    }
    content
}

/// The anchor that GitHub gives a heading.
fn slug_of(title: &str) -> String {
    let mut slug = String::new();
    for letter in title.to_lowercase().chars() {
        match letter {
            ' ' => slug.push('-'),
            '-' | '_' => slug.push(letter),
            _ if letter.is_alphanumeric() => slug.push(letter),
            _ => {}
        }
    }
    slug
}

#[test]
fn a_page_is_read_with_its_blocks_and_anchors() {
    let text = "# One `two`: three\n\n[a](b.md#c)\n\n```console\n$ x\ny\n```\n\n## Same\n\n## Same\n\n    indented\n\n\
                | k | v |\n|---|---|\n| `a` | b |\n";
    let page = Page::parse(Path::new("page.md"), text.to_owned());
    assert_eq!(page.blocks.len(), 1);
    assert_eq!(page.blocks[0].language, "console");
    assert_eq!(page.blocks[0].text, "$ x\ny\n");
    assert_eq!(page.blocks[0].line, 6);
    assert_eq!(page.indented, [14]);
    assert_eq!(page.anchors, HashSet::from(["one-two-three".to_owned(), "same".to_owned(), "same-1".to_owned()]));
    assert_eq!(page.links, [(3, "b.md#c".to_owned())]);
    assert_eq!(page.rows.len(), 1);
    assert_eq!(page.rows[0].cells, ["`a`", "b"]);
    assert_eq!(page.rows[0].section, "same-1");
}
