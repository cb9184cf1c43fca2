"""What happens to a tree between two scans: training goes on, people tidy up, disks fill, files come back."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.e2e.tree_files import config_document
from tests.e2e.tree_training import Save
from tests.e2e.trees import Entry, Site, Tree, suffix_of, told_by_name


def change(tree: Tree, count: int) -> list[str]:
    """``count`` random changes, each to names that none before it has touched. Returns what was done."""
    tree.touched.clear()
    tree.remember_inodes()
    done = []
    for _ in range(count):
        act = tree.rng.choice(CHANGES)
        if act(tree):
            done.append(act.__name__)
    tree.settle()
    return done


def _idle(tree: Tree) -> list[str]:
    """Names that may be changed: not yet touched in this round, nor linked with one that was; no links to nothing."""
    inodes = {tree.inodes.get(path) for path in tree.touched}
    inodes |= {tree.disk(path).lstat().st_ino for path in tree.touched if os.path.lexists(tree.disk(path))}
    busy = tree.touched | {tree.target(path) for path in tree.touched if path in tree.entries}
    targets = {path: tree.target(path) for path in sorted(tree.entries)}
    return [
        path
        for path, target in targets.items()
        if target is not None and not busy & {path, target} and tree.disk(path).lstat().st_ino not in inodes
    ]


def _pick(tree: Tree, *, links: bool = False, whole: bool = False) -> str | None:
    paths = [
        path
        for path in _idle(tree)
        if (links or not tree.entries[path].is_link) and (not whole or tree.entries[path].whole)
    ]
    return tree.rng.choice(paths) if paths else None


def _pick_site(tree: Tree, *, only_open: bool) -> Site | None:
    idle = set(_idle(tree))
    sites = [
        site
        for site in tree.sites
        if (site.open or not only_open)
        and tree.own(site)
        and not any(path.startswith(f"{site.folder}/") for path in tree.touched)
        and all(path in idle or tree.target(path) is None for path in tree.own(site))
    ]
    return tree.rng.choice(sites) if sites else None


def train_on(tree: Tree) -> bool:
    site = _pick_site(tree, only_open=True)
    if site is None:
        return False
    tree.grow(site)
    tree.touched.update(tree.own(site))
    return True


def start_run(tree: Tree) -> bool:
    site = tree.add_site()
    tree.grow(site)
    tree.decorate(site)
    return True


def write_sidecar(tree: Tree) -> bool:
    path = _pick(tree, links=True)
    if path is None or tree.content_of(path) is None:
        return False
    tree.put_sidecar(path, tree.any_sidecar(path))
    tree.touched.add(path)
    return True


def write_later_sidecar(tree: Tree) -> bool:
    path = _pick(tree)
    content = tree.content_of(path) if path else None
    if path is None or content is None:
        return False
    saves = next((site.training.saves for site in tree.sites if site.run is content.run), [])
    later = [save for save in saves if save.step > content.save.step and tree.refutes(path, save)]
    if later:
        tree.put_sidecar(path, tree.sidecar_about(path, tree.rng.choice(later)))
        tree.touched.add(path)
    return bool(later)


def delete_sidecar(tree: Tree) -> bool:
    paths = [path for path in _idle(tree) if tree.entries[path].sidecar is not None]
    if paths:
        path = tree.rng.choice(paths)
        tree.drop_sidecar(path)
        tree.touched.add(path)
    return bool(paths)


def edit_config(tree: Tree) -> bool:
    """Edits, breaks, mends, deletes or adds one."""
    site = tree.rng.choice(tree.sites)
    mine = [path for path in tree.configs if path.startswith(f"{site.folder}/")]
    path = mine[0] if mine else f"{site.folder}/config.yaml"
    odds = tree.rng.random()
    if mine and odds < 0.3:
        tree.disk(path).unlink()
        del tree.configs[path]
    elif odds < 0.45:
        tree.put_config(path, None)
    else:
        tree.put_config(path, config_document(site.run, tree.number(), targets=site.targets))
    return True


def _silent_name(tree: Tree, path: str) -> str:
    return f"kept-{tree.number()}{suffix_of(path)}"


def rename(tree: Tree) -> bool:
    path = _pick(tree, links=True)
    if path is None:
        return False
    new = f"{path.rpartition('/')[0]}/{_silent_name(tree, path)}"
    content = tree.content_of(path)
    if content is not None and not tree.entries[path].is_link and tree.rng.random() < 0.4:
        told = f"epoch={content.save.epoch}-step={content.save.step}-{tree.number()}"
        new = f"{path.rpartition('/')[0]}/{told}.ckpt"
    tree.move(path, new, with_sidecar=True)
    return True


def move_away(tree: Tree) -> bool:
    """Into a folder that says nothing; under its own name or another one."""
    path = _pick(tree)
    if path is None:
        return False
    name = path.rpartition("/")[2] if tree.rng.random() < 0.6 else _silent_name(tree, path)
    new = f"{tree.rng.choice(('keepers', 'archive/2025'))}/{name}"
    if not tree.is_free(new):
        return False
    tree.move(path, new, with_sidecar=True)
    return True


def rename_folder(tree: Tree) -> bool:
    """A run's folder with all that is in it. Its training is over."""
    site = _pick_site(tree, only_open=False)
    if site is None:
        return False
    old = site.folder
    site.folder = f"{old.rpartition('/')[0] or 'done'}/renamed-{tree.number()}"
    site.open = False
    tree.disk(site.folder).parent.mkdir(parents=True, exist_ok=True)
    tree.disk(old).rename(tree.disk(site.folder))

    def moved(path: str) -> str:
        return site.folder + path[len(old) :]

    inside = [path for path in tree.entries if path.startswith(f"{old}/")]
    for path in inside:
        tree.entries[moved(path)] = tree.entries.pop(path)
        tree.touched.update((path, moved(path)))
    for path in inside:
        entry = tree.entries[moved(path)]
        if tree.target(moved(path)) is None:  # an absolute link: to the catalog it ends here
            tree.entries[moved(path)] = Entry(None, is_link=True, sidecar=entry.sidecar)
            if entry.seen:
                tree.missing[path] = entry
    for path, entry in tree.missing.items():
        if path.startswith(f"{old}/"):
            entry.sidecar = None
    for path in [path for path in tree.configs if path.startswith(f"{old}/")]:
        tree.configs[moved(path)] = tree.configs.pop(path)
    for path in [path for path in tree.foreign if path.startswith(f"{old}/")]:
        tree.foreign.remove(path)
        tree.foreign.add(moved(path))
    return True


def swap(tree: Tree) -> bool:
    """Two files of a run take each other's names; sidecars go along."""
    site = _pick_site(tree, only_open=False)
    paths = [path for path in _idle(tree) if site is not None and path.startswith(f"{site.folder}/")]
    paths = [path for path in paths if not tree.entries[path].is_link and tree.entries[path].whole]
    pairs = [(one, two) for one in paths for two in paths if one < two and _may_swap(tree, one, two)]
    if not pairs:
        return False
    one, two = tree.rng.choice(pairs)
    aside = f"{one}.aside"
    tree.move(one, aside, with_sidecar=True)
    tree.move(two, one, with_sidecar=True)
    tree.move(aside, two, with_sidecar=True)
    return True


def _may_swap(tree: Tree, one: str, two: str) -> bool:
    """Both tell their own step; neither gets a name under which its header has another file's score."""
    if tree.disk(one).samefile(tree.disk(two)):
        return False
    for path, new in ((one, two), (two, one)):
        content = tree.entries[path].content
        if content is None or content.kind != "lightning" or lies(tree, path, new):
            return False
    return True


def lies(tree: Tree, path: str, new: str) -> bool:
    """Whether the file would pass for another one of its own list: same name, and no step in it that says otherwise."""
    content = tree.entries[path].content
    assert content is not None
    name, save = new.rpartition("/")[2], content.save
    told = told_by_name(name)
    agrees = told.get("global_step", save.step) == save.step and told.get("epoch", save.epoch) == save.epoch
    kept = {each for state in content.states for each in (*state.kept, state.last_path)}
    return agrees and bool({each for each in kept if each.rpartition("/")[2] == name} - {content.stored})


def delete(tree: Tree) -> bool:
    path = _pick(tree, links=True)
    if path is not None:
        tree.drop(path)
    return path is not None


def delete_run(tree: Tree) -> bool:
    site = _pick_site(tree, only_open=False)
    if site is None or len(tree.sites) < 3:
        return False
    for path in tree.own(site):
        tree.drop(path)
    site.open = False
    return True


def take_out(tree: Tree) -> bool:
    """Out of the tree, to come back later; not one of several names, which couldn't be told apart by then."""
    path = _pick(tree)
    if path is None or tree.entries[path].linked:
        return False
    tree.drop_sidecar(path)
    entry = tree.entries[path]
    tree.disk(path).rename(tree.stash / path.replace("/", "%"))
    tree.forget(path)
    if entry.seen:
        tree.stashed[path] = entry
    return True


def bring_back(tree: Tree) -> bool:
    """To its old place, or to another one."""
    paths = [path for path in sorted(tree.stashed) if path not in tree.touched and path not in tree.entries]
    if not paths:
        return False
    path = tree.rng.choice(paths)
    entry = tree.stashed.pop(path)
    new = path if tree.rng.random() < 0.5 else f"returned/{_silent_name(tree, path)}"
    del tree.missing[path]
    tree.disk(new).parent.mkdir(parents=True, exist_ok=True)
    (tree.stash / path.replace("/", "%")).rename(tree.disk(new))
    tree.entries[new] = entry
    tree.touched.update((path, new))
    return True


def finish_writing(tree: Tree) -> bool:
    paths = [path for path in _idle(tree) if not tree.entries[path].whole and not tree.entries[path].is_link]
    if not paths:
        return False
    path = tree.rng.choice(paths)
    content = tree.entries[path].content
    assert content is not None
    tree.put_checkpoint(path, content)
    return True


def cut_off(tree: Tree) -> bool:
    path = _pick(tree, whole=True)
    content = tree.entries[path].content if path else None
    if path is None or content is None or _name_lies(path, content.save):
        return False
    tree.put_checkpoint(path, content, whole=False, young=tree.rng.random() < 0.5)
    return True


def _name_lies(path: str, save: Save) -> bool:
    """After a swap; as long as the file is whole, its header says otherwise."""
    told = told_by_name(path)
    return told.get("global_step", save.step) != save.step or told.get("epoch", save.epoch) != save.epoch


def touch(tree: Tree) -> bool:
    path = _pick(tree)
    if path is not None and tree.disk(path).stat().st_nlink == 1:
        tree.age(tree.disk(path), young=tree.entries[path].young)
        tree.touched.add(path)
    return path is not None


def copy(tree: Tree) -> bool:
    """``cp -p``: the same time, another inode. Not of a linked one: it might get the inode of a link that is gone."""
    path = _pick(tree)
    new = f"copies/{_silent_name(tree, path)}" if path else ""
    if path is None or tree.entries[path].copied or tree.entries[path].linked or not tree.is_free(new):
        return False
    status = tree.disk(path).stat()
    entry = tree.entries[path]
    tree.put(new, tree.disk(path).read_bytes())
    os.utime(tree.disk(new), ns=(status.st_atime_ns, status.st_mtime_ns))
    entry.copied = True
    tree.entries[new] = Entry(entry.content, entry.whole, entry.young, copied=True)
    tree.touched.update((path, new))
    return True


def replace_foreign(tree: Tree) -> bool:
    """A checkpoint of the run is saved over what was no checkpoint."""
    paths = [path for path in sorted(tree.foreign) if path not in tree.touched and not told_by_name(path)]
    path = paths[0] if paths else ""
    site = next((site for site in tree.sites if path.startswith(f"{site.folder}/")), None)
    contents = [entry.content for entry in tree.entries.values() if entry.content is not None]
    contents = [content for content in contents if site is not None and content.run is site.run]
    if not contents:
        return False
    tree.foreign.remove(path)
    tree.put_checkpoint(path, contents[0])
    return True


def repoint(tree: Tree) -> bool:
    """A link leads to another file of its folder; what was said about the old one is taken back."""
    links = [path for path in _idle(tree) if tree.entries[path].is_link]
    if not links:
        return False
    link = tree.rng.choice(links)
    folder = link.rpartition("/")[0]
    others = [path for path in tree.entries if path.rpartition("/")[0] == folder and not tree.entries[path].is_link]
    others = [path for path in sorted(others) if path != tree.target(link)]
    if not others:
        return False
    tree.drop_sidecar(link)
    tree.disk(link).unlink()
    target = tree.rng.choice(others)
    tree.disk(link).symlink_to(target.rpartition("/")[2])
    tree.entries[target].linked = True
    tree.touched.add(link)
    return True


CHANGES: tuple[Callable[[Tree], bool], ...] = (
    train_on,
    train_on,
    start_run,
    write_sidecar,
    write_later_sidecar,
    delete_sidecar,
    edit_config,
    rename,
    move_away,
    rename_folder,
    swap,
    delete,
    delete_run,
    take_out,
    bring_back,
    finish_writing,
    cut_off,
    touch,
    copy,
    replace_foreign,
    repoint,
)
