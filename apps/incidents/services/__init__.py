"""Acts on state and incidents: `evaluate` what was recorded, `acts` of people on checks, `answers` of people to incidents."""
