#ifndef CANDOR_EXAMPLES_TALLY_FILES_HPP
#define CANDOR_EXAMPLES_TALLY_FILES_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#ifdef _WIN32
#include <fstream>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#endif

/// What tally does, without a word of telemetry: files of a directory as tables, their lines as rows.
namespace tally {

/// A regular file that was read. The last line counts whether or not a newline ends it.
struct table {
    std::string name{};  ///< path relative to the directory, with `/`
    std::uint64_t rows = 0;
};

/// A file or directory that could not be read.
struct failure {
    std::string name{};
    std::string reason{};
};

/// All that was found under a directory, by name.
struct contents {
    std::vector<table> tables{};
    std::vector<failure> failures{};
    std::vector<std::string> skipped{};  ///< neither file nor directory: links, pipes, sockets, devices
    std::uint64_t rows = 0;
    bool complete = true;  ///< false where a worker was lost

    /// Puts everything in the order of names.
    void sort() {
        const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
        std::sort(tables.begin(), tables.end(), by_name);
        std::sort(failures.begin(), failures.end(), by_name);
        std::sort(skipped.begin(), skipped.end());
    }
};

/// Bytes that are read at once.
inline constexpr std::size_t block_size = std::size_t{256} * 1024;

/// Counts lines from blocks as they are read.
class line_counter {
public:
    void add(const char* data, std::size_t size) {
        if (size == 0) return;
        newlines_ += static_cast<std::uint64_t>(std::count(data, data + size, '\n'));
        open_ = data[size - 1] != '\n';
    }

    [[nodiscard]] std::uint64_t lines() const noexcept { return newlines_ + (open_ ? 1 : 0); }

private:
    std::uint64_t newlines_ = 0;
    bool open_ = false;
};

#ifdef _WIN32

template <class OnBlock>
std::uint64_t count_rows(const std::filesystem::path& file, std::vector<char>& block, std::error_code& error,
                         const OnBlock& on_block) {
    line_counter counter;
    std::ifstream in{file, std::ios::binary};
    while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0) {
        counter.add(block.data(), static_cast<std::size_t>(in.gcount()));
        on_block(counter.lines());
    }
    if (!in.eof()) error = std::make_error_code(std::errc::io_error);
    return counter.lines();
}

#else

/// The number of lines of a regular file, or `error`; `on_block` hears after each block how many there are up to there.
/// Never waits for a writer and follows no link, whatever has taken the file's place since it was listed.
template <class OnBlock>
std::uint64_t count_rows(const std::filesystem::path& file, std::vector<char>& block, std::error_code& error,
                         const OnBlock& on_block) {
    const auto interrupted = [&](auto result) {
        if (result >= 0) return false;
        error.assign(errno, std::generic_category());
        return errno == EINTR;
    };
    int descriptor;
    do descriptor = ::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (interrupted(descriptor));
    if (descriptor < 0) return 0;

    line_counter counter;
    struct stat status {};
    if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) {
        ssize_t size;
        do {
            do size = ::read(descriptor, block.data(), block.size());
            while (interrupted(size));
            if (size > 0) {
                counter.add(block.data(), static_cast<std::size_t>(size));
                on_block(counter.lines());
            }
        } while (size > 0);
        if (size == 0) error.clear();
    } else {
        error = std::make_error_code(std::errc::not_supported);
    }
    ::close(descriptor);
    return counter.lines();
}

#endif

/// Walks over everything under `directory`, except entries of an `excluded` name and what lies below them, and calls
/// `on_file` with the path and the name of each regular file, in no order. What is no file, and what cannot be read, is
/// noted in `found`, and the walk goes on.
template <class OnFile>
void walk(const std::filesystem::path& directory, const std::vector<std::string>& excluded, contents& found,
          const OnFile& on_file) {
    std::vector<std::pair<std::filesystem::path, std::string>> waiting{{directory, ""}};  // and its name with a `/`
    while (!waiting.empty()) {
        const auto [parent, prefix] = std::move(waiting.back());
        waiting.pop_back();
        std::error_code error;
        std::filesystem::directory_iterator entry{parent, error};
        for (; !error && entry != std::filesystem::directory_iterator{}; entry.increment(error)) {
            const auto file_name = entry->path().filename().string();
            if (std::find(excluded.begin(), excluded.end(), file_name) != excluded.end()) continue;
            std::string name = prefix + file_name;
            std::error_code failed;
            const auto type = entry->symlink_status(failed).type();
            if (type == std::filesystem::file_type::regular) {
                on_file(entry->path(), std::move(name));
            } else if (type == std::filesystem::file_type::directory) {
                waiting.emplace_back(entry->path(), std::move(name) + "/");
            } else if (failed) {
                found.failures.push_back({std::move(name), failed.message()});
            } else {
                found.skipped.push_back(std::move(name));
            }
        }
        if (error) found.failures.push_back({prefix.empty() ? "." : prefix, error.message()});
    }
}

/// Reads every regular file under `directory`. Throws only where memory runs out.
inline contents read_directory(const std::filesystem::path& directory, const std::vector<std::string>& excluded) {
    contents found;
    std::vector<char> block(block_size);
    walk(directory, excluded, found, [&](const std::filesystem::path& path, std::string name) {
        std::error_code error;
        const auto rows = count_rows(path, block, error, [](std::uint64_t) {});
        if (error) {
            found.failures.push_back({std::move(name), error.message()});
        } else {
            found.rows += rows;
            found.tables.push_back({std::move(name), rows});
        }
    });
    found.sort();
    return found;
}

/// `text` fit for a line of a terminal: control characters as `\xNN`, those of UTF-8's second block too.
inline std::string visible(std::string_view text) {
    static constexpr char hex[] = "0123456789abcdef";
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool after_c2 = i > 0 && text[i - 1] == '\xc2';
        if (byte < 0x20 || byte == 0x7f || (after_c2 && byte >= 0x80 && byte < 0xa0)) {
            out += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
        } else {
            out += text[i];
        }
    }
    return out;
}

}  // namespace tally

#endif
