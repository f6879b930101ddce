#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "locmoe/exec/backend.hpp"

/// A backend over stream sockets, one to each other rank: what locmoe asks of any transport, on the
/// least that one can have. All of it is point to point; whatever waits reads everything that
/// comes in meanwhile, so two ranks that write to each other at once do not wait for ever.
class socket_backend {
  public:
    class transfer {
      private:
        friend socket_backend;
        std::vector<locmoe::receive_block> expected_;
    };

    /// `links[r]` is a socket to rank r, -1 for the own rank; closed with the backend.
    socket_backend(locmoe::rank_id rank, const std::vector<int>& links)
        : rank_(rank), peers_(links.size()) {
        for (std::size_t r = 0; r < links.size(); ++r) {
            peers_[r].socket = links[r];
            if (links[r] >= 0) fcntl(links[r], F_SETFL, O_NONBLOCK);
        }
    }
    socket_backend(const socket_backend&) = delete;
    socket_backend& operator=(const socket_backend&) = delete;
    ~socket_backend() {
        for (const peer& p : peers_)
            if (p.socket >= 0) close(p.socket);
    }

    locmoe::rank_id rank() const { return rank_; }
    std::size_t rank_count() const { return peers_.size(); }

    // [backend]
    /// A window spares a network's receivers too many senders at once; a socket holds its sender
    /// back by itself.
    transfer start(std::span<const locmoe::send_block> sends,
                   std::span<const locmoe::receive_block> receives,
                   std::span<const locmoe::receive_block> paced = {}, std::size_t /*window*/ = 0) {
        throw_if_broken();
        for (const locmoe::send_block& s : sends) post(s.to, kind::block, {s.data, s.bytes});
        transfer started;
        started.expected_.assign(receives.begin(), receives.end());
        started.expected_.insert(started.expected_.end(), paced.begin(), paced.end());
        return started;
    }

    void wait(transfer& started) {
        for (const locmoe::receive_block& r : started.expected_) {
            const bytes block = take(r.from, kind::block);
            if (block.size() != r.bytes)
                throw locmoe::backend_error("wait", 0,
                                            "expected " + std::to_string(r.bytes) +
                                                " bytes from rank " + std::to_string(r.from) +
                                                ", got " + std::to_string(block.size()));
            std::memcpy(r.data, block.data(), r.bytes);
        }
        write_all();
    }
    // [backend]

    std::vector<locmoe::message> exchange_messages(std::vector<locmoe::message> messages) {
        std::vector<words> to_each(peers_.size());
        for (const locmoe::message& m : messages) {
            words& to = to_each[index(m.peer)];
            to.push_back(static_cast<std::int64_t>(m.words.size()));
            to.insert(to.end(), m.words.begin(), m.words.end());
        }
        const std::vector<words> from_each = meet(std::move(to_each));
        std::vector<locmoe::message> received;
        for (std::size_t r = 0; r < from_each.size(); ++r)
            for (auto at = from_each[r].begin(); at != from_each[r].end();) {
                const auto first = at + 1;
                at = first + *at;
                received.push_back({static_cast<locmoe::rank_id>(r), {first, at}});
            }
        return received;
    }

    locmoe::count_scan scan_counts(std::span<const std::int64_t> counts) {
        const words own(counts.begin(), counts.end());
        const auto from_each = meet(std::vector<words>(peers_.size(), own));
        for (const words& counts_there : from_each)
            if (counts_there.size() != from_each[0].size())
                throw locmoe::argument_error("scan_counts: ranks bring unlike numbers of counts");
        locmoe::count_scan scan{words(own.size()), words(own.size())};
        for (std::size_t r = 0; r < from_each.size(); ++r)
            for (std::size_t i = 0; i < own.size(); ++i) {
                if (r < index(rank_)) scan.before[i] += from_each[r][i];
                scan.total[i] += from_each[r][i];
            }
        return scan;
    }

    std::uint64_t agree(std::string_view failure, std::uint64_t number = 0) {
        words own(1, static_cast<std::int64_t>(number));
        own.insert(own.end(), failure.begin(), failure.end());
        std::uint64_t sum = 0;
        const auto from_each = meet(std::vector<words>(peers_.size(), own));
        for (std::size_t r = 0; r < from_each.size(); ++r) {
            sum += static_cast<std::uint64_t>(from_each[r][0]);
            if (from_each[r].size() == 1) continue;
            std::string told = "rank " + std::to_string(r) + ": ";
            for (std::size_t i = 1; i < from_each[r].size(); ++i)
                told += static_cast<char>(from_each[r][i]);
            throw locmoe::backend_error("agree", 0, told);
        }
        return sum;
    }

    /// Whoever has not heard it when this rank goes notices that it has left.
    void abandon(std::string_view failure) {
        const std::string told =
            "rank " + std::to_string(rank_) + " gave up: " + std::string(failure);
        if (broken_.empty()) broken_ = told;
        for (std::size_t r = 0; r < peers_.size(); ++r) {
            if (peers_[r].socket < 0) continue;
            post(static_cast<locmoe::rank_id>(r), kind::end, std::as_bytes(std::span(told)));
            write_some(peers_[r]);
        }
    }

  private:
    using bytes = std::vector<std::byte>;
    using words = std::vector<std::int64_t>;

    /// Blocks may be under way while ranks meet, so they wait in a queue of their own.
    enum class kind : std::uint64_t { block, meeting, end };
    struct header {
        kind what;
        std::uint64_t size;
    };

    struct peer {
        int socket = -1;                           // also once the other side has closed it
        bytes out;                                 // not yet written
        bytes in;                                  // an unfinished frame
        std::array<std::deque<bytes>, 2> arrived;  // by kind
    };

    static std::size_t index(locmoe::rank_id rank) { return static_cast<std::size_t>(rank); }

    void post(locmoe::rank_id to, kind what, std::span<const std::byte> data) {
        const header head{what, data.size()};
        const auto head_bytes = std::as_bytes(std::span(&head, 1));
        bytes& out = peers_[index(to)].out;
        out.insert(out.end(), head_bytes.begin(), head_bytes.end());
        out.insert(out.end(), data.begin(), data.end());
    }

    bytes take(locmoe::rank_id from, kind what) {
        peer& p = peers_[index(from)];
        auto& queue = p.arrived[static_cast<std::size_t>(what)];
        while (queue.empty()) {
            throw_if_broken();
            if (p.socket < 0) throw gone(from);
            move_bytes();
        }
        bytes first = std::move(queue.front());
        queue.pop_front();
        return first;
    }

    /// Every rank gives words to every rank, itself too, and gets what each gave it.
    std::vector<words> meet(std::vector<words> to_each) {
        for (std::size_t r = 0; r < peers_.size(); ++r)
            if (r != index(rank_))
                post(static_cast<locmoe::rank_id>(r), kind::meeting,
                     std::as_bytes(std::span(to_each[r])));
        for (std::size_t r = 0; r < peers_.size(); ++r) {
            if (r == index(rank_)) continue;
            const bytes got = take(static_cast<locmoe::rank_id>(r), kind::meeting);
            to_each[r].resize(got.size() / sizeof(std::int64_t));
            if (!got.empty()) std::memcpy(to_each[r].data(), got.data(), got.size());
        }
        write_all();
        return to_each;
    }

    void write_all() {
        for (std::size_t r = 0; r < peers_.size(); ++r)
            while (!peers_[r].out.empty()) {
                throw_if_broken();
                if (peers_[r].socket < 0) throw gone(static_cast<locmoe::rank_id>(r));
                move_bytes();
            }
    }

    void throw_if_broken() const {
        if (!broken_.empty()) throw locmoe::backend_error("socket", 0, broken_);
    }

    static locmoe::backend_error gone(locmoe::rank_id rank) {
        return {"socket", 0, "rank " + std::to_string(rank) + " has left"};
    }

    /// Sleeps until some socket can move bytes, and moves them.
    void move_bytes() {
        std::vector<pollfd> ready(peers_.size());
        for (std::size_t r = 0; r < peers_.size(); ++r) {
            const bool writes = !peers_[r].out.empty();
            ready[r] = {peers_[r].socket, static_cast<short>(writes ? POLLIN | POLLOUT : POLLIN),
                        0};
        }
        if (poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR)
            throw locmoe::backend_error("poll", errno, std::strerror(errno));
        for (std::size_t r = 0; r < peers_.size(); ++r) {
            if (ready[r].revents & POLLOUT) write_some(peers_[r]);
            if (ready[r].revents & (POLLIN | POLLHUP | POLLERR)) read_some(peers_[r]);
        }
    }

    static void write_some(peer& p) {
        const ssize_t n = send(p.socket, p.out.data(), p.out.size(), MSG_NOSIGNAL);
        if (n > 0) p.out.erase(p.out.begin(), p.out.begin() + n);
    }

    void read_some(peer& p) {
        std::array<std::byte, 65536> chunk;
        const ssize_t n = read(p.socket, chunk.data(), chunk.size());
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            close(p.socket);
            p.socket = -1;
            return;
        }
        p.in.insert(p.in.end(), chunk.begin(), chunk.begin() + n);
        std::size_t at = 0;
        for (header head; p.in.size() - at >= sizeof head; at += sizeof head + head.size) {
            std::memcpy(&head, p.in.data() + at, sizeof head);
            if (p.in.size() - at - sizeof head < head.size) break;
            const std::span<const std::byte> frame(p.in.data() + at + sizeof head, head.size);
            if (head.what != kind::end)
                p.arrived[static_cast<std::size_t>(head.what)].emplace_back(frame.begin(),
                                                                            frame.end());
            else if (broken_.empty())
                broken_.assign(reinterpret_cast<const char*>(frame.data()), frame.size());
        }
        p.in.erase(p.in.begin(), p.in.begin() + static_cast<std::ptrdiff_t>(at));
    }

    locmoe::rank_id rank_;
    std::vector<peer> peers_;
    std::string broken_;  // what ended everything
};

static_assert(locmoe::exchange_backend<socket_backend>);

/// Runs `function(socket_backend&)` in `ranks` processes of their own; whether all of them
/// returned.
template <class Function>
bool run_in_processes(std::size_t ranks, Function&& function) {
    std::vector<std::vector<int>> links(ranks, std::vector<int>(ranks, -1));
    for (std::size_t a = 0; a < ranks; ++a)
        for (std::size_t b = 0; b < a; ++b) {
            int pair[2];
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
                throw locmoe::backend_error("socketpair", errno, std::strerror(errno));
            links[a][b] = pair[0];
            links[b][a] = pair[1];
        }
    const auto close_all_but = [&](std::size_t own) {
        for (std::size_t r = 0; r < ranks; ++r)
            for (const int link : links[r])
                if (r != own && link >= 0) close(link);
    };
    std::fflush(stdout);
    std::vector<pid_t> started;
    for (std::size_t r = 0; r < ranks; ++r) {
        const pid_t process = fork();
        if (process > 0) started.push_back(process);
        if (process != 0) continue;
        close_all_but(r);
        bool good = true;
        try {
            socket_backend backend(static_cast<locmoe::rank_id>(r), links[r]);
            function(backend);
        } catch (const std::exception& e) {
            std::fprintf(stderr, "rank %zu: %s\n", r, e.what());
            good = false;
        }
        std::fflush(stdout);
        _exit(good ? 0 : 1);
    }
    close_all_but(ranks);
    bool all_good = started.size() == ranks;
    for (const pid_t process : started) {
        int status = 0;
        waitpid(process, &status, 0);
        all_good = all_good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return all_good;
}
