//! The paths in a file's code, without strings and comments.

use std::{iter::Peekable, mem, str::FromStr};

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream};

/// A path, such as `["crate", "event", "Event"]`.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    /// The name that a `use` gives to the path.
    pub(crate) imported_as: Option<String>,
}

type Tokens = Peekable<token_stream::IntoIter>;

/// Returns the paths of a file that begin with `crate`, `super` or `self`.
pub(crate) fn of(code: &str) -> Vec<Path> {
    let mut paths = Vec::new();
    walk(TokenStream::from_str(code).unwrap(), &mut paths);
    paths
}

fn walk(tokens: TokenStream, paths: &mut Vec<Path>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut is_use = false;
    while let Some(token) = tokens.next() {
        let was_use = mem::take(&mut is_use);
        match token {
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "use" => is_use = true,
                first @ ("crate" | "super" | "self") => {
                    let mut found = Vec::new();
                    follow(vec![first.to_owned()], &mut tokens, &mut found);
                    if !was_use {
                        found.iter_mut().for_each(|path| path.imported_as = None);
                    }
                    paths.append(&mut found);
                }
                _ => {}
            },
            TokenTree::Group(inner) => walk(inner.stream(), paths),
            _ => {}
        }
    }
}

/// Follows a path to its end, or to the ends of a tree of `use`.
fn follow(mut segments: Vec<String>, tokens: &mut Tokens, found: &mut Vec<Path>) {
    while is_path_separator(tokens) {
        match tokens.next() {
            Some(TokenTree::Ident(ident)) => segments.push(ident.to_string()),
            Some(TokenTree::Group(tree)) if tree.delimiter() == Delimiter::Brace => {
                branches(&segments, tree.stream(), found);
                return;
            }
            _ => break,
        }
    }
    let name = match tokens.next_if(|next| matches!(next, TokenTree::Ident(ident) if ident == "as"))
    {
        Some(_) => tokens.next().map(|name| name.to_string()),
        None => segments.last().cloned(),
    };
    found.push(Path { segments, imported_as: name });
}

fn branches(segments: &[String], tree: TokenStream, found: &mut Vec<Path>) {
    let mut tokens = tree.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let TokenTree::Ident(ident) = token {
            let mut segments = segments.to_vec();
            if ident != "self" {
                segments.push(ident.to_string());
            }
            follow(segments, &mut tokens, found);
        }
    }
}

fn is_path_separator(tokens: &mut Tokens) -> bool {
    let is_colon = |next: &TokenTree| matches!(next, TokenTree::Punct(p) if p.as_char() == ':');
    // A single colon stands before a type.
    let is_joint = matches!(tokens.peek(), Some(TokenTree::Punct(first))
        if first.as_char() == ':' && first.spacing() == proc_macro2::Spacing::Joint);
    is_joint && tokens.next_if(is_colon).is_some() && tokens.next_if(is_colon).is_some()
}
