//! A stick that a PC with UEFI boots from, and what of a kernel's ELF file has to be on it.

use std::fs::File;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Context;
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use gpt::{GptConfig, mbr::ProtectiveMBR, partition_types};
use object::LittleEndian as Endian;
use object::elf::{FileHeader64, SHF_ALLOC, SHT_NULL};
use object::pod::{bytes_of, bytes_of_slice};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

/// Where UEFI looks for what to boot from a stick (UEFI 2.10, 3.5.1.1).
pub const LOADER: &str = "EFI/BOOT/BOOTX64.EFI";

/// The options, beside the loader.
pub const OPTIONS: &str = "EFI/BOOT/options";

/// Bytes in a sector.
const SECTOR: u64 = 512;

/// The volume: the smallest that can be FAT32, which has at least 65,525 clusters (here sectors). All firmware reads
/// that; some has no other.
const VOLUME: usize = 34 << 20;

/// The stick: the volume from its first MiB on, and the second table of partitions.
const STICK: u64 = VOLUME as u64 + (2 << 20);

/// Writes the image of a stick: a table of partitions (GPT) with one volume (FAT32) that holds these files.
///
/// # Errors
///
/// It cannot be written, or the files do not fit.
pub fn write(to: &Path, files: &[(&str, &[u8])]) -> anyhow::Result<()> {
    let create = || {
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(to)
    };
    let write = || -> anyhow::Result<()> {
        let mut file = create()?;
        file.set_len(STICK)?;
        ProtectiveMBR::with_lb_size(u32::try_from(STICK / SECTOR - 1)?)
            .overwrite_lba0(&mut file)?;
        let mut disk = GptConfig::new()
            .writable(true)
            .create_from_device(file, None)?;
        let size = VOLUME as u64;
        let id = disk.add_partition(
            "rundown",
            size,
            partition_types::EFI,
            0,
            Some((1 << 20) / SECTOR),
        )?;
        let start = disk.partitions()[&id].first_lba * SECTOR;
        let mut file = disk.write()?;
        // What is zero already is left out: most of it.
        const PIECE: usize = 1 << 16;
        for (index, piece) in volume(files)?.chunks(PIECE).enumerate() {
            if piece.iter().any(|&byte| byte != 0) {
                file.seek(SeekFrom::Start(start + (index * PIECE) as u64))?;
                file.write_all(piece)?;
            }
        }
        Ok(file.flush()?)
    };
    write().with_context(|| format!("cannot write {}", to.display()))
}

fn volume(files: &[(&str, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; VOLUME];
    let format = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(SECTOR as u32)
        .volume_label(*b"RUNDOWN    ");
    fatfs::format_volume(Cursor::new(&mut bytes[..]), format)?;
    let volume = FileSystem::new(Cursor::new(&mut bytes[..]), FsOptions::new())?;
    for (name, contents) in files {
        for (end, _) in name.match_indices('/') {
            // One that is there is as good as new.
            volume.root_dir().create_dir(&name[..end])?;
        }
        volume.root_dir().create_file(name)?.write_all(contents)?;
    }
    volume.unmount()?;
    Ok(bytes)
}

/// A kernel's ELF file without what is not loaded: symbols and what debuggers need.
pub(crate) fn strip(elf: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut header = *FileHeader64::<Endian>::parse(elf)?;
    let headers = header.program_headers(Endian, elf)?.iter();
    let ends = headers.map(|header| header.p_offset(Endian) + header.p_filesz(Endian));
    let end = usize::try_from(ends.max().unwrap_or(0))?;
    let mut stripped = elf.get(..end).context("it ends too early")?.to_vec();
    let sections = header.section_headers(Endian, elf)?;
    let names = usize::from(header.e_shstrndx(Endian));
    // The sections that are loaded keep their names, which follow.
    let is_kept = |index: usize| {
        let section = &sections[index];
        let loaded = section.sh_flags(Endian) & u64::from(SHF_ALLOC) != 0;
        loaded || section.sh_type(Endian) == SHT_NULL
    };
    let mut kept: Vec<_> = (0..sections.len())
        .filter(|&index| is_kept(index))
        .map(|index| sections[index])
        .collect();
    let mut names = *sections.get(names).context("its sections have no names")?;
    let text = names.data(Endian, elf)?;
    names.sh_offset.set(Endian, stripped.len() as u64);
    kept.push(names);
    stripped.extend_from_slice(text);
    stripped.resize(stripped.len().next_multiple_of(8), 0);
    header.e_shoff.set(Endian, stripped.len() as u64);
    header.e_shnum.set(Endian, u16::try_from(kept.len())?);
    header
        .e_shstrndx
        .set(Endian, u16::try_from(kept.len() - 1)?);
    stripped.extend_from_slice(bytes_of_slice(&kept));
    stripped[..size_of_val(&header)].copy_from_slice(bytes_of(&header));
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_stick_has_one_partition_with_the_files() {
        let image = tempfile::NamedTempFile::new().expect("temporary file");
        let long = [7; 300_000];
        let files: [(&str, &[u8]); 2] = [(LOADER, &long), (OPTIONS, b"seconds=1\n")];
        write(image.path(), &files).expect("written");

        let disk = GptConfig::new()
            .open(image.path())
            .expect("a table of partitions");
        let [partition] = &disk.partitions().values().collect::<Vec<_>>()[..] else {
            panic!("one partition: {:?}", disk.partitions());
        };
        assert_eq!(partition.part_type_guid, partition_types::EFI);
        let start = partition.first_lba * SECTOR;
        let whole = std::fs::read(image.path()).expect("readable");
        assert_eq!(whole.len() as u64, STICK);
        assert_eq!(whole[510..512], [0x55, 0xaa], "the protective MBR's mark");
        let mut volume = whole[start as usize..][..VOLUME].to_vec();
        let volume = FileSystem::new(Cursor::new(&mut volume[..]), FsOptions::new()).expect("FAT");
        assert_eq!(volume.fat_type(), FatType::Fat32);
        for (name, contents) in files {
            let mut found = Vec::new();
            let mut file = volume.root_dir().open_file(name).expect(name);
            file.read_to_end(&mut found).expect(name);
            assert!(found == contents, "{name}");
        }
    }

    #[test]
    fn files_that_do_not_fit_are_an_error() {
        let image = tempfile::NamedTempFile::new().expect("temporary file");
        let error = write(image.path(), &[(LOADER, &vec![1; VOLUME])]).expect_err("too large");
        assert!(error.to_string().contains("cannot write"), "{error:#}");
    }
}
