#ifndef CANDOR_DELIVERY_SPOOL_FILES_IN_HAND_HPP
#define CANDOR_DELIVERY_SPOOL_FILES_IN_HAND_HPP

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <list>

#include <candor/delivery/spool/spool.hpp>

namespace candor::detail {

/// A file of the spool that this process has in hand, because it delivers what is in it, and how far it has come. Its
/// messages are numbered, and settled in that order; what is settled is marked in the file, or removed with it.
struct file_in_hand {
    spool_file stored{};
    std::uint64_t first = 0;    ///< number of its first message
    std::uint64_t end = 0;      ///< and behind its last one
    std::uint64_t settled = 0;  ///< those before are
    std::uint64_t marked = 0;   ///< and the file says it of these
    std::uint64_t named = 0;    ///< the user of the drafts in it, as the file says it
    std::uint32_t number = 0;   ///< of a file that was taken up: what its messages name as their `file`
    std::uint64_t pending = 0;  ///< the same: of its messages so many are not settled
    unsigned attempts = 0;      ///< the same: so often a server did not take them
    bool is_own = false;        ///< the same: it was stored by this run
    bool has_drafts = false;
    bool is_busy = false;    ///< one of the two threads uses it without the mutex
    bool is_let_go = false;  ///< the next one who has it in hand closes it

    /// What is to be done with it on disk.
    struct step {
        std::uint64_t settled = 0;
        std::uint64_t lines = 0;  ///< so many are to be marked, unless 0
        bool is_whole = false;    ///< nothing is left in it: it is to be removed
        bool is_last = false;     ///< and closed, in any case
    };
    [[nodiscard]] step todo() const noexcept {
        const bool is_whole = settled >= end;
        return {settled, settled > marked ? settled - first : 0, is_whole, is_whole || is_let_go};
    }

    /// The messages that are left in it.
    [[nodiscard]] std::uint64_t left() const noexcept { return end - std::max(settled, first); }
};

/// Some files in hand. Guarded by the worker's mutex, but for a file that is busy. The list keeps each where it is.
class files_in_hand {
public:
    using iterator = std::list<file_in_hand>::iterator;

    [[nodiscard]] bool empty() const noexcept { return files_.empty(); }
    [[nodiscard]] iterator begin() noexcept { return files_.begin(); }
    [[nodiscard]] iterator end() noexcept { return files_.end(); }
    [[nodiscard]] auto begin() const noexcept { return files_.begin(); }
    [[nodiscard]] auto end() const noexcept { return files_.end(); }
    [[nodiscard]] file_in_hand& back() noexcept { return files_.back(); }

    /// Adds a place for a file. Throws `std::bad_alloc`.
    file_in_hand& add() { return files_.emplace_back(); }
    void remove_last() noexcept { files_.pop_back(); }

    /// All messages before that number are settled.
    void settle(std::uint64_t number) noexcept {
        for (auto& file : files_)
            if (number > file.settled) file.settled = std::min(std::max(number, file.first), file.end);
    }

    /// Brings the files to what is settled: `away(call)` makes a call to the disk without the mutex.
    template <class Away>
    void write_settled(spool& disk, const Away& away) noexcept {
        for (auto at = files_.begin(); at != files_.end();) {
            auto& file = *at;
            if (file.is_busy || (file.settled <= file.marked && !file.is_let_go)) {
                ++at;
                continue;
            }
            file.is_busy = true;
            const auto todo = file.todo();
            away([&] { write(disk, file.stored, todo); });
            file.is_busy = false;
            file.marked = std::max(file.marked, todo.settled);
            if (todo.is_last) {
                at = files_.erase(at);
            } else if (!file.is_let_go) {  // not while it was busy: then it is this one's to close
                ++at;
            }
        }
    }

    /// Gives a file back to everybody, with what is left in it, or all of them.
    template <class Away>
    void let_go(spool& disk, iterator which, const Away& away) noexcept {
        std::list<file_in_hand> gone;
        move_out(which, gone);
        close(disk, gone, away);
    }
    template <class Away>
    void let_go_all(spool& disk, const Away& away) noexcept {
        std::list<file_in_hand> gone;
        for (auto at = files_.begin(); at != files_.end();) move_out(at++, gone);
        close(disk, gone, away);
    }

private:
    static void write(spool& disk, spool_file& file, const file_in_hand::step& todo) noexcept {
        if (todo.is_whole) {
            disk.remove(file.file);
        } else if (todo.lines > 0) {
            static_cast<void>(disk.mark_settled(file.file, todo.lines));
        }
        if (todo.is_last) file = {};
    }

    template <class Away>
    static void close(spool& disk, std::list<file_in_hand>& gone, const Away& away) noexcept {
        if (gone.empty()) return;
        away([&] {
            for (auto& file : gone) write(disk, file.stored, file.todo());
        });
    }

    /// One that the other thread uses is closed by that.
    void move_out(iterator which, std::list<file_in_hand>& gone) noexcept {
        which->is_let_go = true;
        if (!which->is_busy) gone.splice(gone.end(), files_, which);
    }

    std::list<file_in_hand> files_;
};

}  // namespace candor::detail

#endif
