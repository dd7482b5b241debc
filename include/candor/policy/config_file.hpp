#ifndef CANDOR_POLICY_CONFIG_FILE_HPP
#define CANDOR_POLICY_CONFIG_FILE_HPP

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <candor/platform/read_file.hpp>
#include <candor/policy/error.hpp>

namespace candor::detail {

/// The largest configuration file that is read. A hand-written one has some hundred bytes.
inline constexpr std::size_t config_file_limit = std::size_t{64} * 1024;

/// One string of a configuration file.
struct config_string {
    bool file_exists = false;
    std::optional<std::string> value{};
    std::string problem{};  ///< one line that names the file, where it exists and cannot be used
};

/// A file's path as it stands in a message.
inline std::string printable_path(const std::filesystem::path& file) {
    const auto text = file.u8string();
    return printable({reinterpret_cast<const char*>(text.data()), text.size()}, 4096);
}

/// What a configuration file holds.
struct config_object {
    bool file_exists = false;
    std::optional<nlohmann::json> object{};
    std::string problem{};  ///< one line that names the file, where it exists and cannot be used
};

/// Reads the JSON object in `file`. No object and no problem where there is no file. Throws only `std::bad_alloc`.
inline config_object read_config_object(const std::filesystem::path& file) {
    const auto unusable = [&file](const std::string& why) {
        return config_object{true, std::nullopt, printable_path(file) + " " + why};
    };
    const auto read = read_file(file, config_file_limit);
    if (read.status == file_status::absent) return {};
    if (read.status != file_status::read) return unusable(read.problem);
    auto json = nlohmann::json::parse(read.content, nullptr, false);
    if (!json.is_object()) return unusable("is not a JSON object");
    return {true, std::move(json), {}};
}

/// The string member `key` of what `file` holds. No value and no problem where there is no such member.
inline config_string string_member(config_object&& of, const std::filesystem::path& file, const char* key) {
    if (!of.object) return {of.file_exists, std::nullopt, std::move(of.problem)};
    const auto member = of.object->find(key);
    if (member == of.object->end()) return {true, std::nullopt, {}};
    if (!member->is_string())
        return {true, std::nullopt, printable_path(file) + " has a \"" + key + "\" that is not a string"};
    return {true, std::move(member->get_ref<std::string&>()), {}};
}

/// Reads the string member `key` of the JSON object in `file`. No value and no problem where there is no file, or the
/// object has no such member. Throws only `std::bad_alloc`.
inline config_string read_config_string(const std::filesystem::path& file, const char* key) {
    return string_member(read_config_object(file), file, key);
}

}  // namespace candor::detail

#endif
