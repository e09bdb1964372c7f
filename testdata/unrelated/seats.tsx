import { useMemo, useState } from 'react';

interface Seat {
  row: number;
  column: number;
  taken: boolean;
}

export function SeatMap({ seats, onPick }: { seats: Seat[]; onPick: (seat: Seat) => void }) {
  const [hovered, setHovered] = useState<Seat | null>(null);
  const rows = useMemo(() => Map.groupBy(seats, (seat) => seat.row), [seats]);
  return (
    <table className="seats">
      {[...rows].map(([row, inRow]) => (
        <tr key={row}>
          {inRow.map((seat) => (
            <td key={seat.column} onMouseEnter={() => setHovered(seat)}>
              <button disabled={seat.taken} onClick={() => onPick(seat)}>
                {seat.row}-{seat.column}
              </button>
            </td>
          ))}
        </tr>
      ))}
    </table>
  );
}
